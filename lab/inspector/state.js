// The state of the default cluster as text, as GET /state has it. The page sends the token, which a link cannot.
import { Failure, h, request } from "./page.js";

export const state = { id: "state", title: "State of the default cluster", show: showState, apart: true };

async function showState() {
  const answer = await request("GET", "state");
  const text = await answer.text();
  if (!answer.ok) throw new Failure(answer.status, answer.statusText || `status ${answer.status}`);
  return [h("pre", { class: "text", tabindex: "0", "aria-label": "State" }, text)];
}
