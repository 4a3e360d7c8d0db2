// The map: dots, what lies over them, and all ways to move it: drag, wheel, pinch, keys, buttons.
import { dotsOn, signs } from "./map-dots.js";
import { Known, Over } from "./map-over.js";
import { Points } from "./map-points.js";
import { View } from "./map-view.js";
import { say } from "./said.js";

const box = document.getElementById("map");
const stage = document.getElementById("map-stage");
const card = document.getElementById("map-card");
const state = document.getElementById("map-state");
const form = document.getElementById("map-form");
const dotCanvas = document.getElementById("map-dots");

const known = new Known();
const dots = dotsOn(dotCanvas);
const view = new View(redraw);
const over = new Over(document.getElementById("map-over"), known, redrawAll);
let points;
let classes;
let looks = [];
let frames = [];
let queued = 0;
let resting;

// ---- drawing ------------------------------------------------------------------------------------------
// Canvases are larger than the stage by a margin, so that while the map is moved they need only be shifted, and a little
// stretched; they are drawn again where the margin ends, where the scale has changed much, and when the map rests.
const MARGIN = 0.25;
const STRETCHED = 1.2;
const canvases = [...stage.querySelectorAll("canvas")];
let drawn = null;

/** The view has changed. */
function redraw() {
  if (!queued) queued = requestAnimationFrame(draw);
  clearTimeout(resting);
  resting = setTimeout(rest, 140);
}

/** What is to be seen in it has changed. */
function redrawAll() {
  drawn = null;
  if (!queued) queued = requestAnimationFrame(draw);
}

/** Whether what was drawn covers the stage, nearly at its scale. */
function covers() {
  if (!drawn) return false;
  const stretch = view.scale / drawn.scale;
  if (stretch > STRETCHED || stretch < 1 / STRETCHED) return false;
  const room = (side) => side * ((0.5 + MARGIN) * stretch - 0.5);
  return (
    Math.abs(drawn.x - view.x) * view.scale <= room(view.width) && Math.abs(drawn.y - view.y) * view.scale <= room(view.height)
  );
}

function draw() {
  queued = 0;
  if (!points) return;
  if (!covers()) paint();
  const [dx, dy] = [(drawn.x - view.x) * view.scale, (drawn.y - view.y) * view.scale];
  const transform = `translate(${dx}px, ${dy}px) scale(${view.scale / drawn.scale})`;
  for (const canvas of canvases) canvas.style.transform = transform;
  placeCard();
}

function paint() {
  drawn = Object.create(view, { whole: { value: view.whole } });
  const { x, y, scale, width, height } = view;
  Object.assign(drawn, { x, y, scale, width: width * (1 + 2 * MARGIN), height: height * (1 + 2 * MARGIN) });
  const crowd = Math.sqrt((view.whole * view.whole) / Math.max(1, points.sorted.length));
  const size = Math.min(13, Math.max(3.2, crowd * 0.42) * (scale / view.whole) ** 0.3);
  dots.draw(drawn, size, over.isLit ? 0.28 : 1);
  over.draw(drawn, points, (i) => frames[classes ? Math.min(classes[i], 13) : 0]);
}

function rest() {
  if (!points) return;
  if (drawn && ["x", "y", "scale"].some((one) => drawn[one] !== view[one])) redrawAll();
  over.fetch(view, points).then(redrawAll);
  try {
    sessionStorage.setItem("visrec.map", [box.dataset.positions, view.x, view.y, view.scale].join(" "));
  } catch {
    // Storage is forbidden: the next visit begins with the whole map.
  }
}

function resize() {
  const { clientWidth: width, clientHeight: height } = stage;
  const ratio = Math.min(devicePixelRatio || 1, 2);
  for (const canvas of canvases) {
    canvas.width = Math.round(width * (1 + 2 * MARGIN) * ratio);
    canvas.height = Math.round(height * (1 + 2 * MARGIN) * ratio);
  }
  drawn = null;
  view.resize(width, height);
}

function recolour() {
  const { kind = "none", others = "-1" } = box.dataset;
  looks = signs(kind, Number(others));
  frames = looks.map((one) => `rgb(${one.colour.map((c) => Math.round(c * 255)).join(" ")})`);
  dots.look(looks);
  over.recolour();
  redrawAll();
  redraw();
}

// ---- data ---------------------------------------------------------------------------------------------

const bytes = async (url) => {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`The service answered ${answer.status}.`);
  return answer.arrayBuffer();
};
const numbers = (text) => (text ? text.split(" ").map(Number) : []);

async function load() {
  state.textContent = "Fetching the map …";
  try {
    const { positions, classes: url } = box.dataset;
    const [places, found] = await Promise.all([bytes(positions), url ? bytes(url) : null]);
    if (positions !== box.dataset.positions) return; // another one has been asked for
    points = new Points(places);
    classes = found && new Uint8Array(found);
  } catch (error) {
    state.textContent = `The map cannot be fetched: ${error.message}`;
    return;
  }
  state.textContent = "";
  dots.data(points, classes);
  over.lit = {
    history: numbers(box.dataset.history),
    recommended: numbers(box.dataset.recommended),
    hits: new Set(numbers(box.dataset.hits)),
  };
  over.regions = [...document.querySelectorAll(".region[data-name]")]
    .filter((one) => one.dataset.name)
    .map((one) => ({ x: numbers(one.dataset.place)[0], y: numbers(one.dataset.place)[1], name: one.dataset.name }));
  recolour();
  if (box.dataset.focus) flyTo(Number(box.dataset.focus));
}

/** Ask for the page with other settings, and take its parts over. */
async function change() {
  const url = `${location.pathname}?${new URLSearchParams(new FormData(form))}`;
  const answer = await fetch(url).catch(() => null);
  if (!answer?.headers.get("Content-Type")?.startsWith("text/html")) {
    say("The map cannot be fetched. Try again.");
    return;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ["map-words", "map-legend", "map-lists"]) {
    document.getElementById(id).replaceWith(page.getElementById(id));
  }
  const before = { ...box.dataset };
  for (const name of Object.keys(before)) delete box.dataset[name];
  Object.assign(box.dataset, page.getElementById("map").dataset);
  history.replaceState(null, "", url);
  const { refresh } = await import("./like.js");
  refresh(document.getElementById("map-lists"));
  focusOn(-1);
  await load();
}

// ---- the item with the focus --------------------------------------------------------------------------

async function focusOn(index, { held = false, aloud = false } = {}) {
  if (index === over.focus && held === card.classList.contains("held")) return;
  over.focus = index;
  card.classList.toggle("held", held);
  redrawAll();
  if (index < 0) {
    card.hidden = true;
    return;
  }
  const [item] = await known.of([index]);
  if (!item || over.focus !== index) return;
  const image = card.querySelector("img");
  image.hidden = !item.picture;
  if (item.picture) image.src = item.picture;
  card.href = item.url;
  card.querySelector("b").textContent = item.title;
  card.querySelector(".map-card-text span").textContent = [item.creator, item.category].filter(Boolean).join(" · ");
  card.tabIndex = held ? 0 : -1;
  card.hidden = false;
  placeCard();
  if (aloud) say([item.title, item.creator, item.category].filter(Boolean).join(", "), { heard: true });
}

/** Beside its item, on the side with more room; on a narrow screen, where it was tapped, at the foot. */
function placeCard() {
  if (card.hidden || over.focus < 0) return;
  if (card.classList.contains("held") && innerWidth < 736) {
    card.style.translate = "";
    return;
  }
  const [x, y] = view.toScreen(points.x[over.focus], points.y[over.focus]);
  const [width, height] = [card.offsetWidth, card.offsetHeight];
  const aside = over.drawn.find((one) => one.index === over.focus)?.width ?? 20;
  const gap = aside / 2 + 14;
  const left = x + gap + width < view.width ? x + gap : x - gap - width;
  const top = Math.min(view.height - height - 8, Math.max(8, y - height / 2));
  card.style.translate = `${Math.round(Math.max(8, left))}px ${Math.round(top)}px`;
}

function flyTo(index, { nearer = true } = {}) {
  if (!points?.there[index]) {
    say("This item has no picture, and no place on the map.");
    return;
  }
  const scale = nearer ? Math.max(view.scale, view.whole * 6) : view.scale;
  view.fly(points.x[index], points.y[index], scale);
  focusOn(index, { aloud: true });
}

/** Bring the item with the focus back into view if it is outside. */
function follow(index) {
  const [x, y] = view.toScreen(points.x[index], points.y[index]);
  const inside = x > 60 && y > 60 && x < view.width - 60 && y < view.height - 60;
  if (!inside) view.fly(points.x[index], points.y[index]);
  focusOn(index, { aloud: true });
}

function hit(left, top) {
  if (!points || !drawn) return -1;
  const pictured = over.at(...drawn.toScreen(...view.toMap(left, top)));
  if (pictured >= 0) return pictured;
  return points.nearest(...view.toMap(left, top), 14 / view.scale);
}

// ---- pointers -----------------------------------------------------------------------------------------

const held = new Map();
let dragged = false;
const at = (event) => {
  const frame = stage.getBoundingClientRect();
  return [event.clientX - frame.left, event.clientY - frame.top];
};

stage.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  stage.setPointerCapture(event.pointerId);
  held.set(event.pointerId, at(event));
  if (held.size === 1) dragged = false;
});
stage.addEventListener("pointermove", (event) => {
  const now = at(event);
  if (!held.has(event.pointerId)) {
    if (event.pointerType !== "mouse") return;
    const index = hit(...now);
    stage.classList.toggle("over", index >= 0);
    focusOn(index);
    return;
  }
  const before = held.get(event.pointerId);
  const moved = [now[0] - before[0], now[1] - before[1]];
  if (!dragged && Math.hypot(...moved) < (event.pointerType === "mouse" ? 4 : 9)) return;
  dragged = true;
  stage.classList.add("held");
  held.set(event.pointerId, now);
  if (held.size === 1) {
    view.move(...moved);
  } else {
    const other = [...held].find(([id]) => id !== event.pointerId)[1];
    const spread = (one) => Math.max(1, Math.hypot(one[0] - other[0], one[1] - other[1]));
    view.move(moved[0] / 2, moved[1] / 2);
    view.zoom(spread(now) / spread(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }
});
function release(event) {
  if (!held.delete(event.pointerId)) return;
  if (!held.size) stage.classList.remove("held");
  if (event.type === "pointercancel" || dragged) return;
  const index = hit(...at(event));
  if (event.pointerType === "mouse" && index >= 0) openItem(index);
  else focusOn(index, { held: true, aloud: index >= 0 });
}
stage.addEventListener("pointerup", release);
stage.addEventListener("pointercancel", release);
stage.addEventListener("pointerleave", (event) => {
  if (event.pointerType === "mouse" && !held.size && document.activeElement !== stage) focusOn(-1);
});
stage.addEventListener("wheel", (event) => {
  const outwards = event.deltaY > 0;
  if (outwards && view.scale <= view.whole * 1.001) return; // all is seen: the page scrolls
  event.preventDefault();
  const lines = event.deltaMode === 1 ? 30 : 1;
  view.zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) * (event.ctrlKey ? 0.008 : 0.002)), ...at(event));
}, { passive: false });
stage.addEventListener("dblclick", (event) => view.zoom(2, ...at(event)));

async function openItem(index) {
  const [item] = await known.of([index]);
  if (item) location.assign(item.url);
}

// ---- keys and buttons ---------------------------------------------------------------------------------

const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const visited = [];

/** The nearest item that way: within 45 degrees of it. */
function towards([dx, dy]) {
  const from = over.focus >= 0 ? [points.x[over.focus], points.y[over.focus]] : [view.x, view.y];
  const index = points.nearest(...from, 2, (i) => {
    const [ex, ey] = [points.x[i] - from[0], points.y[i] - from[1]];
    const along = ex * dx + ey * dy;
    return i !== over.focus && along > 0 && along >= Math.abs(ex * dy + ey * dx);
  });
  if (index >= 0) follow(index);
}

function next() {
  const from = over.focus >= 0 ? [points.x[over.focus], points.y[over.focus]] : [view.x, view.y];
  const seen = new Set(visited);
  const index = points.nearest(...from, 2, (i) => i !== over.focus && !seen.has(i));
  if (index < 0) return;
  if (over.focus >= 0) visited.push(over.focus);
  follow(index);
}

const ACTS = {
  in: () => view.zoom(1.6),
  out: () => view.zoom(1 / 1.6),
  all: () => view.all(),
  left: () => view.move(view.width / 6, 0),
  right: () => view.move(-view.width / 6, 0),
  up: () => view.move(0, view.height / 6),
  down: () => view.move(0, -view.height / 6),
  next,
  previous: () => visited.length && follow(visited.pop()),
  open: () => over.focus >= 0 && openItem(over.focus),
  leave: () => focusOn(-1),
  pictures: (button) => {
    over.withPictures = !over.withPictures;
    button.setAttribute("aria-pressed", String(over.withPictures));
    redrawAll();
    redraw();
  },
};
const KEYS = {
  "+": "in", "=": "in", "-": "out", 0: "all", Home: "all", n: "next", p: "previous", Enter: "open", Escape: "leave",
  ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
};

stage.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !points) return;
  const act = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  if (event.shiftKey && WAYS[event.key]) towards(WAYS[event.key]);
  else ACTS[act]();
});
box.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) ACTS[button.dataset.do](button);
});
document.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  const link = event.target.closest("[data-fly]");
  const region = event.target.closest("[data-region]");
  if (!link && !region) return;
  event.preventDefault();
  stage.focus({ preventScroll: true });
  stage.scrollIntoView({ block: "nearest" });
  if (link) flyTo(Number(link.dataset.fly));
  else view.fly(...numbers(region.closest(".region").dataset.place), view.whole * 4);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  change();
});
form.addEventListener("change", (event) => {
  if (event.target.matches("#by, #method") || (event.target.id === "model" && form.elements.user.value)) change();
});
let typing;
form.elements.q.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(change, 250);
});

// A map that is being made is looked for until it is there.
async function look() {
  if (!document.getElementById("under-way")) return;
  const answer = await fetch(location.href).catch(() => null);
  const page = answer?.ok && new DOMParser().parseFromString(await answer.text(), "text/html");
  if (page && !page.getElementById("under-way")) {
    document.getElementById("method").innerHTML = page.getElementById("method").innerHTML;
    document.getElementById("under-way").textContent = "The map of neighbourhoods (t-SNE) is there: choose it as the layout.";
    form.elements.method.value = new URL(box.dataset.positions, location.href).searchParams.get("method");
    return;
  }
  setTimeout(look, 8000);
}

// ---- begin --------------------------------------------------------------------------------------------

dotCanvas.addEventListener("visrec:redraw", redrawAll);
new ResizeObserver(resize).observe(stage);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
resize();
view.scale = view.whole;
try {
  const [url, ...kept] = (sessionStorage.getItem("visrec.map") ?? "").split(" ");
  if (url === box.dataset.positions) [view.x, view.y, view.scale] = kept.map(Number);
} catch {
  // As above.
}
setTimeout(look, 8000);
await load();
