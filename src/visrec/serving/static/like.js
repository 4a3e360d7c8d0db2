// Likes and hidden pictures of this visit. What is pressed shows at once; if the service refuses, it is taken back.
import { say } from "./said.js";

const state = { like: new Set(), hide: new Set() };
const busy = new Set(); // items: one request at a time, so that they arrive in order

const key = (item) => String(item);
const titleOf = (button) => button.getAttribute("aria-label").replace(/^\S+ /, "");

/** Whether an item is liked ("like") or hidden ("hide") in this visit. */
export const has = (kind, item) => state[kind].has(key(item));

/** Bring all buttons of the page, or of a part that was added, in line with what is known. */
export function refresh(part = document) {
  for (const button of part.querySelectorAll("[data-act]")) {
    const owner = button.closest("[data-item]");
    const pressed = has(button.dataset.act, owner.dataset.item);
    button.setAttribute("aria-pressed", String(pressed));
    if (button.dataset.act === "hide") owner.classList.toggle("away", pressed);
  }
}

/**
 * Tell the service of an event.
 * @throws Error with a sentence for people if it was not stored.
 */
export async function send(event) {
  let answer;
  try {
    answer = await fetch("/v1/events", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(event),
      keepalive: true,
    });
  } catch {
    throw new Error("The service cannot be reached.");
  }
  if (answer.ok) return;
  const problem = await answer.json().catch(() => ({}));
  throw new Error(typeof problem.detail === "string" ? problem.detail : `The service answered ${answer.status}.`);
}

async function toggle(button) {
  const owner = button.closest("[data-item]");
  const { item } = owner.dataset;
  const kind = button.dataset.act;
  if (busy.has(item)) return;
  busy.add(item);
  const on = !has(kind, item);
  const before = { like: has("like", item), hide: has("hide", item) };
  const set = (known) => {
    for (const one of ["like", "hide"]) state[one][known[one] ? "add" : "delete"](key(item));
    refresh();
  };
  set({ like: false, hide: false, [kind]: on }); // the last word counts: what is hidden is not liked any more
  const recommendation = owner.closest("[data-recommendation]")?.dataset.recommendation;
  const event = { kind: on ? kind : `un${kind}`, item };
  if (recommendation) event.recommendation_id = recommendation;
  try {
    await send(event);
    const done = { like: ["Liked", "No longer liked"], hide: ["Hidden", "Shown again"] }[kind][on ? 0 : 1];
    say(`${done}: ${titleOf(button)}`, { heard: true });
    document.dispatchEvent(new CustomEvent("visrec:event", { detail: event }));
  } catch (error) {
    set(before);
    say(`Not stored: ${error.message}`);
  } finally {
    busy.delete(item);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) toggle(button);
});

/** Buttons appear only where a like can be stored; nothing else waits for the answer. */
async function begin() {
  try {
    const answer = await fetch("/v1/session", { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const found = await answer.json();
    for (const item of found.liked ?? []) state.like.add(key(item));
    for (const item of found.hidden ?? []) state.hide.add(key(item));
    document.documentElement.classList.add("likes");
    refresh();
  } catch {
    // No service of events: the pages can be read all the same.
  }
}
begin();
