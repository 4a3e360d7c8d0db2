// Words for everybody: a line at the foot of the window that screen readers read out.
const line = document.getElementById("said");
let timer;

/** Say something. `heard`: only to those who listen, since it can be seen already. */
export function say(text, { heard = false } = {}) {
  clearTimeout(timer);
  line.classList.toggle("heard", heard);
  line.textContent = text;
  timer = setTimeout(() => { line.textContent = ""; }, 6000);
}
