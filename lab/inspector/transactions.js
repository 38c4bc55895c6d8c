// Transactions: all transactional IDs, and one with its transitions.
import {
  button,
  chip,
  clockTime,
  count,
  duration,
  facts,
  few,
  filter,
  get,
  h,
  link,
  none,
  pages,
  partitionLink,
  size,
  table,
} from "./page.js";
import { willEnd } from "./hanging.js";

export const transactions = { id: "transactions", title: "Transactions", show: showTransactions, filters };

function filters(at) {
  if (!at || at.parts[1] !== undefined) return null;
  const open = at.query.get("open") === "true";
  return h(
    "div",
    { class: "bar" },
    filter(["transactions"], at, "transactional IDs"),
    link(["transactions"], open ? "All transactional IDs" : "Only open transactions", { open: open ? "" : "true" }),
  );
}

async function showTransactions(at) {
  if (at && at.parts[1] !== undefined) return transaction(at.parts[1]);
  const length = at ? size : few;
  const query = at ? { open: at.query.get("open"), name: at.query.get("name"), after: at.query.get("after") } : {};
  const all = await get(["transactions"], { ...query, brief: true, limit: length + 1 });
  if (!all.length) return [none(query.open ? "No transaction is open." : "There is no transactional ID.")];
  const rows = all
    .slice(0, length)
    .map((t) => ({
      key: t.transactionalId,
      cells: [
        link(["transactions", t.transactionalId], t.transactionalId),
        stateOf(t),
        t.producerId,
        t.producerEpoch,
        t.partitionCount,
        t.age ? duration(t.age) : "",
        t.timeLeft ? duration(t.timeLeft) : "",
      ],
    }));
  return [
    table(
      "Transactions",
      [
        "Transactional ID",
        "State",
        ["Producer ID", "n"],
        ["Epoch", "n"],
        ["Partitions", "n"],
        ["Open for", "n"],
        ["Time left", "n"],
      ],
      rows,
    ),
    at
      ? pages(["transactions"], query, all, length, (t) => t.transactionalId)
      : all.total > length && h("p", {}, link(["transactions"], `All ${count(all.total)} transactional IDs`)),
  ];
}

const kinds = {
  Ongoing: "open",
  PrepareCommit: "open",
  PrepareAbort: "open",
  CompleteCommit: "committed",
  CompleteAbort: "aborted",
  PrepareEpochFence: "open",
};

const stateOf = (t) => chip(t.state, kinds[t.state]);

async function transaction(id) {
  const t = await get(["transactions", id]);
  const call = (verb) => ["transactions", id, verb];
  return [
    h("h3", {}, id, " ", stateOf(t)),
    facts([
      ["Producer ID", String(t.producerId)],
      ["Producer epoch", String(t.producerEpoch)],
      ["Timeout", duration(t.timeout)],
      ["Open for", t.age && duration(t.age)],
      ["Outcome", t.timeLeft && t.state === "Ongoing" && willEnd(t)],
      [
        "Partitions",
        t.partitions
          .slice(0, size)
          .flatMap((p) => [partitionLink(p), " "])
          .concat(t.partitions.length > size ? `and ${count(t.partitions.length - size)} more` : []),
      ],
    ]),
    h(
      "p",
      { class: "buttons" },
      t.state === "Ongoing" && button("Abort", "Abort transaction " + id, "POST", call("abort")),
      button("Fence the producer", "Fence the producer of " + id, "POST", call("fence"), undefined, {
        said: (answer) => `the epoch is ${answer.producerEpoch} now.`,
      }),
      t.state === "Ongoing" &&
        button("Let it hang", "Let transaction " + id + " hang", "POST", call("hang"), undefined, {
          sure: "The coordinator forgets the transaction, and its records stay open until somebody aborts it in its partitions.",
          verb: "Let it hang",
        }),
    ),
    h("h4", {}, "Transitions"),
    t.transitions.length === 0
      ? none("None is remembered.")
      : table(
          "Transitions of " + id,
          ["Time", "State", ["Producer ID", "n"], ["Epoch", "n"], "Reason"],
          t.transitions.map((c) => [
            { of: clockTime(c.at), class: "time" },
            stateOf(c),
            c.producerId,
            c.producerEpoch,
            c.reason,
          ]),
        ),
    h("p", {}, link(["requests"], "Its last requests", { transactionalId: id })),
  ];
}
