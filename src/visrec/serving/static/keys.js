// Keys on every page: arrows go from picture to picture, letters act on the one that has the focus.
import { say } from "./said.js";

const OFF = "visrec.keys.off";

/** All pictures that can be reached, in reading order: of the sheet that is open, or of the page. */
const pictures = () => {
  const place = document.querySelector("dialog[open]") ?? document;
  return [...place.querySelectorAll(".tile > .open")].filter((link) => link.checkVisibility());
};

/** Whether a key belongs to what has the focus: a field takes its own. */
function isTyping(target) {
  return target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
}

const remembered = () => {
  try {
    return localStorage.getItem(OFF) !== "1";
  } catch {
    return true; // storage is forbidden: the keys stay as they are
  }
};
let lettersOn = remembered();

/**
 * The picture to go to from one: the next or the one before in its list, or the nearest in the row above or below.
 * Rows are what overlaps in height, so this holds for grids and for strips alike.
 */
export function neighbour(links, from, key) {
  const at = links.indexOf(from);
  if (key === "ArrowRight") return links[at + 1];
  if (key === "ArrowLeft") return links[at - 1];
  const here = from.getBoundingClientRect();
  const middle = here.left + here.width / 2;
  const boxes = links.map((link) => ({ link, box: link.getBoundingClientRect() }));
  const down = key === "ArrowDown";
  const beyond = boxes.filter(({ box }) => (down ? box.top >= here.bottom - 1 : box.bottom <= here.top + 1));
  if (!beyond.length) return undefined;
  const edge = down ? Math.min(...beyond.map(({ box }) => box.top)) : Math.max(...beyond.map(({ box }) => box.top));
  const row = beyond.filter(({ box }) => Math.abs(box.top - edge) < here.height / 2);
  const off = ({ box }) => Math.abs(box.left + box.width / 2 - middle);
  return row.reduce((best, one) => (off(one) < off(best) ? one : best)).link;
}

function move(event) {
  const links = pictures();
  const from = document.activeElement?.closest?.(".tile")?.querySelector(".open");
  let to;
  if (from) {
    to = neighbour(links, from, event.key);
  } else if (document.activeElement === document.body || document.activeElement?.id === "main") {
    // The page scrolls by up and down; sideways keys are free, so they lead into the pictures.
    if (event.key !== "ArrowRight") return;
    to = links.find((link) => link.getBoundingClientRect().top >= 0);
  } else {
    return;
  }
  event.preventDefault();
  to?.focus();
}

/** The element that a letter acts on: the picture with the focus, or the one that the page is about. */
const subject = () => document.activeElement?.closest?.("[data-item]") ?? document.querySelector("main .subject[data-item]");

function press(selector, missing) {
  const one = subject();
  if (!one) return false;
  const found = one.querySelector(selector);
  if (found && found.checkVisibility({ checkOpacity: false })) found.click();
  else say(missing);
  return true;
}

const LETTERS = {
  l: () => press('[data-act="like"], [data-key="l"]', "Likes are not possible here."),
  h: () => press('[data-act="hide"], [data-key="h"]', "Hiding is not possible here."),
  w: () => press(".why", "There is no explanation here."),
  "/": () => {
    const field = document.getElementById("search");
    field?.focus();
    field?.select();
    return Boolean(field);
  },
  "?": () => {
    document.getElementById("keys").showModal();
    return true;
  },
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (event.key.startsWith("Arrow")) {
    if (!event.shiftKey) move(event);
    return;
  }
  const modal = document.querySelector("dialog[open]");
  if (modal && !modal.contains(document.activeElement?.closest?.("[data-item]"))) return;
  if (lettersOn && LETTERS[event.key.toLowerCase()]?.()) event.preventDefault();
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  if (event.target.matches("dialog")) event.target.close(); // beside the sheet
});

const choice = document.getElementById("keys-on");
choice.checked = lettersOn;
choice.addEventListener("change", () => {
  lettersOn = choice.checked;
  try {
    localStorage.setItem(OFF, lettersOn ? "0" : "1");
  } catch {
    // It holds for this page then.
  }
});
