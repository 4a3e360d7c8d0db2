// A study without reloading the page: likes and hidden pictures are sent at once, pictures open in a sheet.
// Every button works as a form too, so nothing here is needed to take part.
import { say } from "./said.js";

const count = document.getElementById("study-count");
const go = document.getElementById("study-go");
const large = document.getElementById("study-large");
const busy = new Set();
let failed = "";

async function send(form, kind) {
  const body = new URLSearchParams(new FormData(form));
  body.set("kind", kind);
  const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" }, keepalive: true });
  if (answer.status !== 204) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? `The service answered ${answer.status}.`);
  }
}

/** Set a button of two states; liking takes back hiding, and the reverse. */
function press(button, on) {
  const { act } = button.dataset;
  const tile = button.closest(".tile");
  button.setAttribute("aria-pressed", String(on));
  button.value = on ? `un${act}` : act;
  const other = tile.querySelector(`[data-act]:not([data-act="${act}"])`);
  if (on && other?.getAttribute("aria-pressed") === "true") press(other, false);
  if (act === "hide") tile.classList.toggle("away", on);
}

function tell(change) {
  if (!count) return;
  const n = Number(count.dataset.n) + change;
  count.dataset.n = n;
  count.textContent = `${n} of at least ${count.dataset.least} chosen`;
  go.disabled = n < Number(count.dataset.least);
}

async function toggle(button) {
  const tile = button.closest(".tile");
  if (busy.has(tile)) return; // one thing after the other, so that they arrive in order
  busy.add(tile);
  const before = [...tile.querySelectorAll("[data-act]")].map((one) => [one, one.getAttribute("aria-pressed") === "true"]);
  const kind = button.value;
  const on = !kind.startsWith("un");
  const change = button.dataset.act === "like" ? (on ? 1 : -1) : 0;
  press(button, on);
  tell(change);
  try {
    await send(button.form, kind);
  } catch (error) {
    before.forEach(([one, was]) => press(one, was));
    tell(-change);
    say(`Not stored: ${error.message}`);
  } finally {
    busy.delete(tile);
  }
}

function open(button) {
  const image = large.querySelector("img");
  image.src = button.dataset.large;
  image.alt = button.querySelector(".caption").textContent;
  large.querySelector("p").textContent = image.alt;
  large.showModal();
  send(button.form, "click").catch((error) => { failed = error.message; });
}

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!event.target.matches(".study-act") || !button) return;
  if (button.dataset.act) {
    event.preventDefault();
    toggle(button);
  } else if (button.dataset.large && large && button.querySelector("img")) {
    event.preventDefault();
    open(button);
  }
});
large?.addEventListener("close", () => {
  if (failed) say(`Not stored: ${failed}`);
  failed = "";
});
