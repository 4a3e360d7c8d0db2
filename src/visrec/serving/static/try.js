// Try: the list follows what is chosen. The server says everything that is shown; without this file the same forms load
// the page anew.
import { say } from "./said.js";

const WAIT = 160; // milliseconds: who clicks three times in a row asks once
const BUTTONS = ["like", "less", "hide", "drop", "away"];

/** What was said, as the fields of the address, in their order; the server makes sense of it. */
let pairs = [...new URLSearchParams(location.search)];
/** Photos that are not kept: they are sent with each question and never stored. */
const photos = [];
let timer;
let fault = ""; // of a photo that was not taken
let asking = new AbortController();

const offer = () => document.getElementById("offer");
const wall = () => document.getElementById("wall");
const called = (place) => (place === 0 ? "your photo" : `your photo ${place + 1}`);

function body() {
  const form = new FormData();
  for (const [name, value] of pairs) form.append(name, value);
  for (const photo of photos) form.append("file", photo.file);
  return form;
}

/** @throws Error with a sentence for people. */
async function ask(url, options = {}) {
  let answer;
  try {
    answer = await fetch(url, { ...options, headers: { Accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service cannot be reached.");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail ?? `The service answered ${answer.status}.`);
}

const element = (html) => new DOMParser().parseFromString(html, "text/html");

function soon({ push = true } = {}) {
  clearTimeout(timer);
  offer().setAttribute("aria-busy", "true");
  timer = setTimeout(() => update(push), WAIT);
}

async function update(push) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const sent = photos.length;
  try {
    const answer = sent
      ? await ask("/try/list", { method: "POST", body: body(), signal })
      : await ask(`/try/list?${new URLSearchParams(pairs)}`, { signal });
    const found = element(await answer.text()).getElementById("offer");
    if (signal.aborted) return;
    show(found, push);
  } catch (error) {
    if (error.name === "AbortError") return;
    offer().removeAttribute("aria-busy");
    const last = photos.at(-1);
    if (sent && !last.seen) { // the new photo is at fault, not what was there before
      drop(last);
      fault = error.message;
      soon({ push: false });
    }
    say(error.message);
  }
}

function show(found, push) {
  const old = offer();
  const boxes = new Map();
  const images = new Map();
  for (const tile of old.querySelectorAll(".list .tile")) {
    boxes.set(tile.dataset.item, tile.getBoundingClientRect());
    images.set(tile.dataset.item, tile.querySelector("img.frame"));
  }
  const focus = focused(old);
  for (const tile of found.querySelectorAll(".list .tile")) {
    const image = images.get(tile.dataset.item);
    if (image) tile.querySelector("img.frame")?.replaceWith(image); // it is there already: no flicker
  }
  old.replaceWith(found);
  for (const photo of photos) photo.seen = true;
  fill(found);
  if (focus) refocus(found, focus);
  const { url } = found.dataset;
  pairs = [...new URL(url, location).searchParams];
  if (url !== location.pathname + location.search) history[push ? "pushState" : "replaceState"](null, "", url);
  for (const form of document.querySelectorAll("#wall, #photo, #settings")) rewrite(form);
  press();
  document.getElementById("before")?.remove(); // something is chosen now
  settle(found, boxes);
  if (fault) say(fault); // why a photo was not taken stays, though a list came after it
  else say(found.dataset.said, { heard: true });
  fault = "";
}

/** The pictures of photos that only this page has. */
function fill(part) {
  const kept = part.querySelectorAll('.pick[data-photo]:not([data-photo=""])').length;
  for (const image of part.querySelectorAll("img[data-of]")) {
    const place = photos.findIndex((_, n) => called(kept + n) === image.dataset.of);
    if (place >= 0) image.src = photos[place].url;
  }
}

function focused(part) {
  const at = document.activeElement;
  if (!part.contains(at)) return null;
  return { item: at.closest("[data-item]")?.dataset.item, name: at.name, isLink: at.matches("a.open") };
}

function refocus(part, { item, name, isLink }) {
  const tile = item && part.querySelector(`.list [data-item="${CSS.escape(item)}"]`);
  const to = tile?.querySelector(isLink ? "a.open" : `button[name="${name}"]`)
    ?? part.querySelector(item ? ".list a.open" : ".picks button")
    ?? document.getElementById("result");
  to.focus({ preventScroll: true });
}

/** Forms that work without this file go on from where the page is now. */
function rewrite(form) {
  for (const field of form.querySelectorAll('input[type="hidden"]')) field.remove();
  const own = form.id === "settings" ? ["model", "diversity"] : [];
  form.prepend(...pairs.filter(([name]) => !own.includes(name)).map(([name, value]) =>
    Object.assign(document.createElement("input"), { type: "hidden", name, value })));
}

/** Hearts on the wall. */
function press() {
  const liked = new Set(pairs.filter(([name]) => name === "like").map(([, value]) => value));
  for (const button of wall().querySelectorAll("button.open")) {
    const on = liked.has(button.value);
    button.setAttribute("aria-pressed", String(on));
    button.name = on ? "drop" : "like";
  }
}

/** What stays in the list glides to its new place; what is new fades in. */
function settle(part, boxes) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const tile of part.querySelectorAll(".list .tile")) {
    const before = boxes.get(tile.dataset.item);
    const now = tile.getBoundingClientRect();
    const from = before
      ? { translate: `${before.left - now.left}px ${before.top - now.top}px` }
      : { opacity: 0, scale: 0.96 };
    tile.animate([from, {}], { duration: 220, easing: "ease-out" });
  }
}

document.addEventListener("submit", (event) => {
  const { submitter, target } = event;
  if (!target.closest(".try") || target.matches("#photo, .forget")) return;
  event.preventDefault();
  if (target.id === "before") {
    pairs = [...new FormData(target)];
    target.remove();
  }
  if (submitter && BUTTONS.includes(submitter.name)) {
    pairs.push([submitter.name, submitter.value]);
    if (target.id === "wall") { // at once, whatever the answer says later
      const on = submitter.name === "like";
      submitter.setAttribute("aria-pressed", String(on));
      submitter.name = on ? "drop" : "like";
    }
  }
  soon();
});

document.getElementById("settings").addEventListener("input", (event) => {
  pairs.push([event.target.name, event.target.value]);
  soon({ push: event.target.name === "model" });
});

document.addEventListener("click", async (event) => {
  const away = event.target.closest("[data-away]");
  if (away) {
    const kept = offer().querySelectorAll('.pick[data-photo]:not([data-photo=""])').length;
    drop(photos.find((_, n) => called(kept + n) === away.dataset.away));
    soon({ push: false });
  }
  const again = event.target.closest("[data-again]");
  if (again) {
    event.preventDefault();
    pairs = pairs.filter(([name]) => name !== "hide");
    soon();
  }
  if (event.target.closest("#others")) {
    event.preventDefault();
    pairs.push(["wall", wall().dataset.others]);
    try {
      const answer = await ask(`/try/wall?${new URLSearchParams(pairs)}`);
      const found = element(await answer.text()).getElementById("wall");
      wall().replaceWith(found);
      pairs = [...pairs.filter(([name]) => name !== "wall"), ["wall", String(pairs.findLast(([name]) => name === "wall")[1])]];
      history.replaceState(null, "", `/try?${new URLSearchParams(pairs)}`);
      press();
      say("Other pictures to choose from.", { heard: true });
    } catch (error) {
      say(error.message);
    }
  }
  if (event.target.closest("#share")) {
    try {
      await navigator.clipboard.writeText(location.href);
      say(photos.length ? "Copied. The photo is not part of it: it is in this page alone." : "Copied: who opens it sees this list.");
    } catch {
      say(`Copy it from the address bar: ${location.href}`);
    }
  }
});

addEventListener("popstate", () => {
  pairs = [...new URLSearchParams(location.search)];
  for (const name of ["model", "diversity"]) {
    document.getElementById(name).value = new URLSearchParams(location.search).get(name) ?? (name === "model" ? document.querySelector("#model").dataset.default : "0");
  }
  soon({ push: false });
});

// ---- photos ----

const zone = document.getElementById("photo");
const field = document.getElementById("file");

async function take(files) {
  const found = [...files].filter((file) => file.type.startsWith("image/"));
  if (!zone) return;
  if (!found.length) {
    say("That is no picture. Choose a JPEG, PNG, WebP or GIF.");
    return;
  }
  const keep = document.getElementById("keep")?.checked;
  for (const file of found) {
    if (keep) await store(file);
    else photos.push({ file, url: URL.createObjectURL(file), seen: false });
  }
  say("Looking at the photo …");
  soon();
}

async function store(file) {
  const form = new FormData();
  form.append("pictures", file);
  try {
    const answer = await ask("/v1/pictures", { method: "POST", body: form });
    for (const { name } of (await answer.json()).pictures) pairs.push(["photo", name]);
  } catch (error) {
    say(`Not kept: ${error.message}`);
  }
}

function drop(photo) {
  if (!photo) return;
  URL.revokeObjectURL(photo.url);
  photos.splice(photos.indexOf(photo), 1);
}

field?.addEventListener("change", () => {
  take(field.files);
  field.value = ""; // the same file can be chosen again
});
const carries = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!carries(event) || !zone) return;
  event.preventDefault();
  zone.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) zone?.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  if (!carries(event) || !zone) return;
  event.preventDefault();
  zone.classList.remove("over");
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) take(event.clipboardData.files);
});
