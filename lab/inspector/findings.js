// What the broker noticed about its clients: a sentence for each finding, with links to what it is about.
import { button, clockTime, count, few, get, h, link, none, size } from "./page.js";

export const findings = { id: "findings", title: "Findings", show: showFindings, withoutLab: false };

async function showFindings(at) {
  const all = await get(["findings"], { limit: at ? size : few });
  if (!all.length) return [none("Nothing was noticed about the clients.")];
  return [
    h(
      "ul",
      { class: "hanging" },
      all.map((f, i) =>
        h(
          "li",
          { class: "hangs open", "data-finding": f.code, key: `${f.code} ${i}` },
          h("span", {}, f.sentence, " ", subjects(f.subjects)),
          h(
            "small",
            { class: "soft" },
            `${f.code}, ${f.count === 1 ? "once" : count(f.count) + " times"} since ${clockTime(f.since)}`,
          ),
        ),
      ),
    ),
    all.total > all.length &&
      h("p", {}, at ? `${all.length} of ${count(all.total)}` : link(["findings"], `All ${count(all.total)} findings`)),
    h("p", { class: "buttons" }, button("Clear", "Clear the findings", "DELETE", ["findings"])),
  ];
}

function subjects(of) {
  const links = [];
  if (of.transactionalId) links.push(link(["transactions", of.transactionalId], "transaction"));
  if (of.group) links.push(link(["groups", of.group], "group"));
  if (of.topic)
    links.push(
      of.partition === undefined
        ? link(["topics", of.topic], "topic")
        : link(["topics", of.topic, of.partition], "partition"),
    );
  return links.flatMap((one) => [one, " "]);
}
