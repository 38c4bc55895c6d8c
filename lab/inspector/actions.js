// Buttons that change something, and what came of it.
import { h } from "./dom.js";
import { sure } from "./dialogs.js";
import { ask, Failure } from "./lab.js";

let after = async () => {};

// whenDone sets what happens after each change: the page is brought up to date.
export function whenDone(update) {
  after = update;
}

let fading;

// say shows a message, which screen readers read.
export function say(text) {
  document.getElementById("status").textContent = text;
  clearTimeout(fading);
  fading = setTimeout(() => {
    document.getElementById("status").textContent = "";
  }, 15000);
}

// act makes a call that changes something. options: sure is a question that is asked before; said(answer) is what is
// told afterwards; call makes the call in another way. Returns the answer, or undefined.
export async function act(label, method, parts, body, options = {}) {
  if (options.sure && !(await sure(label, options.sure, options.verb || "Do it"))) return undefined;
  say(label + " …");
  let answer;
  try {
    answer = await (options.call ? options.call() : ask(method, parts, {}, body));
    const more = options.said && options.said(answer);
    say(`${label}: ${more || "done."}`);
  } catch (problem) {
    say(`${label}: ${problem instanceof Failure ? problem.message : "the broker does not answer."}`);
  }
  await after();
  return answer;
}

// button makes such a button. text is short; label says the whole.
export const button = (text, label, method, parts, body, options = {}) =>
  h(
    "button",
    {
      type: "button",
      class: "changes " + (options.class || ""),
      "aria-label": text === label ? undefined : label,
      key: label,
      onclick: () => act(label, method, parts, body, options),
    },
    text,
  );
