// "Why?" opens in place: the same page's main part in a sheet over the one that asked.
import { refresh } from "./like.js";
import { say } from "./said.js";

const sheet = document.createElement("dialog");
sheet.className = "sheet";
sheet.setAttribute("aria-label", "Why it is recommended");
document.body.append(sheet);

async function open(link) {
  link.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(link.href, { headers: { Accept: "text/html" } });
    if (!answer.ok && answer.status !== 422) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const close = document.createElement("form");
    close.method = "dialog";
    close.innerHTML = '<button class="close" aria-label="Close">✕</button>';
    const found = page.querySelector("main") ?? page.body;
    sheet.replaceChildren(close, ...found.childNodes);
    refresh(sheet);
    sheet.scrollTop = 0;
    sheet.showModal();
    sheet.querySelector("h1, h2")?.focus();
  } catch {
    location.assign(link.href); // as without this file
  } finally {
    link.removeAttribute("aria-busy");
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.why");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  open(link);
});
sheet.addEventListener("close", () => say(""));
