// What the broker noticed about its clients: a sentence for each finding, with links to what it is about.
import { clockTime, get, h, link, none } from "./page.js";
import { button } from "./views.js";

const few = 5;

export async function findings(at) {
  const all = await get(["findings"]);
  if (!all.length) return [none("Nothing was noticed about the clients.")];
  const shown = at ? all : all.slice(0, few);
  return [
    ...shown.map((f) => h("div", { class: "hangs", "data-finding": f.code }, h("span", {}, f.sentence, " ", ...subjects(f.subjects)),
      h("small", {}, `${f.code}, ${f.count === 1 ? "once" : f.count + " times"} since ${clockTime(f.since)}`))),
    all.length > shown.length && h("p", {}, link(["findings"], `All ${all.length} findings`)),
    h("p", {}, button("Clear", "Clear the findings", "DELETE", ["findings"])),
  ];
}

function subjects(of) {
  const links = [];
  if (of.transactionalId) links.push(link(["transactions", of.transactionalId], "transaction"));
  if (of.group) links.push(link(["groups", of.group], "group"));
  if (of.topic) links.push(of.partition === undefined ? link(["topics", of.topic], "topic") : link(["topics", of.topic, of.partition], "partition"));
  return links.flatMap((one) => [one, " "]);
}
