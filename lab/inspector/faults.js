// Faults: the rules with their counts, and the form that makes one.
import { button, clockTime, count, few, get, h, link, none, size, table } from "./page.js";
import { arming } from "./arm.js";

export const faults = { id: "faults", title: "Faults", show: showFaults, controls };

function controls(at) {
  if (!at) return h("p", { class: "changes" }, link(["faults"], "Arm a fault"));
  return arming();
}

async function showFaults(at) {
  const length = at ? 2 * size : few;
  const chosen = at && at.query.get("id");
  const all = await get(["faults"], { brief: true, limit: length });
  if (!all.length) return [none("There is no fault.")];
  return [
    table(
      "Faults",
      ["Fault", "Where", "When", "What", ["Matched", "n"], ["Triggered", "n"], ["Held", "n"], "Action"],
      all.map((f) => ({
        key: f.id,
        class: f.id === chosen ? "chosen" : "",
        cells: [
          [link(["faults"], f.id, { id: f.id }), f.name && [" ", f.name]],
          words(f.match) || "every request",
          words(f.when) || "the first time",
          words(f.do),
          f.matched,
          f.triggered ? { of: f.triggered, class: "strong" } : 0,
          f.held ? { of: f.held, class: "warn" } : 0,
          h(
            "span",
            { class: "buttons" },
            f.held > 0 &&
              button("Release", "Release fault " + f.id, "POST", ["faults", f.id, "release"], undefined, {
                said: (answer) => `${answer.released} released.`,
              }),
            button("End", "End fault " + f.id, "DELETE", ["faults", f.id], undefined, {
              said: (f) => `it was triggered ${f.triggered} times.`,
            }),
          ),
        ],
      })),
    ),
    all.total > all.length &&
      h("p", {}, at ? `${all.length} of ${count(all.total)}` : link(["faults"], `All ${count(all.total)} faults`)),
    at &&
      all.length > 1 &&
      h(
        "p",
        {},
        button("End all", "End all faults", "DELETE", ["faults"], undefined, {
          sure: "All rules end, and what they hold is carried out.",
          verb: "End them",
        }),
      ),
    chosen && (await firings(chosen)),
  ];
}

// words writes a part of a rule: api EndTxn, transactionalId orders-*.
const words = (of) =>
  Object.entries(of || {})
    .map(([key, value]) =>
      value === true ? key : `${key} ${typeof value === "object" ? [value].flat().join(" or ") : value}`,
    )
    .join(", ");

// firings are the requests that a rule fired on last.
async function firings(id) {
  const f = await get(["faults", id]).catch(() => null);
  if (!f || f.last.length === 0) return f && none(`Fault ${id} has not fired yet.`);
  return [
    h("h4", {}, `Where ${id} fired last`),
    table(
      "Where " + id + " fired last",
      ["Time", "Request", "Client ID", "About"],
      f.last.map((l) => [
        { of: clockTime(l.at), class: "time" },
        l.api ? `${l.api} v${l.version}` : f.match.point,
        l.clientId || "",
        [l.transactionalId, l.group, l.topic && (l.partition === undefined ? l.topic : `${l.topic}-${l.partition}`)]
          .filter(Boolean)
          .join(", "),
      ]),
    ),
  ];
}
