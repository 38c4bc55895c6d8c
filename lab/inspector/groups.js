// Groups: all, and one with its members, its offsets, and why it stands where it does.
import {
  button,
  chip,
  count,
  duration,
  facts,
  few,
  filter,
  get,
  h,
  link,
  many,
  none,
  pages,
  partitionLink,
  size,
  table,
} from "./page.js";
import { willEnd } from "./hanging.js";

export const groups = { id: "groups", title: "Groups", show: showGroups, filters };

function filters(at) {
  return at && at.parts[1] === undefined ? h("div", { class: "bar" }, filter(["groups"], at, "groups")) : null;
}

const kinds = { Stable: "committed", Empty: "", Dead: "aborted" };
const stateOf = (g) => chip(g.state || "no members", kinds[g.state] ?? "open");
const lagOf = (o) => (o.lagAtMost ? "at most " : "") + count(o.lag);

async function showGroups(at) {
  if (at && at.parts[1] !== undefined) return group(at.parts[1], Number(at.query.get("from")) || 0);
  const length = at ? size : few;
  const query = at ? { name: at.query.get("name"), after: at.query.get("after") } : {};
  const all = await get(["groups"], { ...query, brief: true, estimate: true, limit: length + 1 });
  if (!all.length) return [none("There is no group.")];
  const rows = all
    .slice(0, length)
    .map((g) => ({
      key: g.id,
      cells: [
        link(["groups", g.id], g.id),
        g.type,
        stateOf(g),
        count(g.memberCount),
        g.lag ? { of: lagOf(g), class: "warn" } : "0",
        g.pendingCount ? { of: count(g.pendingCount), class: "warn" } : "0",
      ],
    }));
  return [
    table("Groups", ["Group", "Type", "State", ["Members", "n"], ["Lag", "n"], ["Offsets in transactions", "n"]], rows),
    at
      ? pages(["groups"], query, all, length, (g) => g.id)
      : all.total > length && h("p", {}, link(["groups"], `All ${count(all.total)} groups`)),
  ];
}

async function group(id, from) {
  const g = await get(["groups", id], { estimate: true, from, limit: size });
  const longest = Math.max(g.memberCount, g.offsetCount);
  return [
    h("h3", {}, id, " ", stateOf(g)),
    h("p", { class: "where " + (g.lag ? "open" : "good") }, summary(g)),
    facts([
      ["Type", g.type + " group"],
      [g.type === "consumer" ? "Assignor" : "Protocol", g.protocol],
      ["Members", count(g.memberCount)],
      ["Lag", lagOf(g)],
      ["Offsets in transactions", g.pendingCount ? count(g.pendingCount) : ""],
    ]),
    h("p", { class: "buttons" }, button("Rebalance", "Rebalance group " + id, "POST", ["groups", id, "rebalance"])),
    h("h4", {}, g.type === "share" ? "Where delivery stands" : "Where it stands"),
    g.offsets.length === 0 ? none("The group has committed nothing, and no partition is assigned to it.") : offsets(g),
    h("h4", {}, "Members"),
    g.members.length === 0 ? none("It has no member.") : members(g),
    longest > size &&
      h(
        "p",
        { class: "pages" },
        h("span", {}, `${from} to ${Math.min(longest, from + size) - 1} of ${count(longest)}`),
        from > 0 && link(["groups", id], "First page"),
        from + size < longest && link(["groups", id], "Next page", { from: from + size }),
      ),
    h("p", {}, link(["requests"], "Its last requests", { group: id })),
  ];
}

function summary(g) {
  const held = g.offsets.filter((o) => o.heldBy);
  const behind =
    g.lag === 0
      ? "It has read all committed records."
      : `It has ${lagOf(g)} committed record${g.lag === 1 ? "" : "s"} still to read.`;
  return [
    behind,
    g.memberCount === 0 && g.lag > 0 && " Nobody reads them: it has no member.",
    held.length > 0 && ` Open transactions hold back ${many(held.length, "partition")}.`,
    g.pendingCount > 0 && ` ${many(g.pendingCount, "offset")} will change when a transaction ends.`,
  ];
}

function offsets(g) {
  const readers = new Map(g.members.flatMap((m) => m.assignment.map((p) => [p.topic + "/" + p.partition, nameOf(m)])));
  return table(
    "Offsets of " + g.id,
    [
      "Partition",
      [g.type === "share" ? "Start" : "Committed", "n"],
      ["Last stable", "n"],
      ["High watermark", "n"],
      ["Lag", "n"],
      "Pending",
      "Why it stands there",
      "Read by",
    ],
    g.offsets.map((o) => {
      const reader = readers.get(o.topic + "/" + o.partition);
      return {
        key: o.topic + "/" + o.partition,
        cells: [
          partitionLink(o, o.committed >= 0 ? o.committed : undefined),
          o.committed < 0 ? "none" : o.committed,
          o.lastStableOffset < o.highWatermark ? { of: o.lastStableOffset, class: "warn" } : o.lastStableOffset,
          o.highWatermark,
          o.lag ? { of: lagOf(o), class: "warn" } : "0",
          o.pending && chip("in a transaction", "open"),
          why(g, o, reader),
          reader || h("span", { class: "soft" }, "nobody"),
        ],
      };
    }),
  );
}

// why says why the group stands where it does in a partition.
function why(g, o, reader) {
  const text = [];
  if (o.lag > 0 && !reader && g.memberCount === 0) text.push("The group has no member. ");
  else if (o.lag > 0 && !reader && g.type !== "share") text.push("No member reads it. ");
  else if (o.lag > 0) text.push(`${many(o.lag, "record")} not yet committed by it. `);
  if (o.heldBy && o.heldBy.hanging)
    text.push(`A hanging transaction of producer ${o.heldBy.producerId} holds the rest back. `);
  else if (o.heldBy) {
    text.push(
      o.lag > 0 ? "Behind them it will wait for " : "It waits for ",
      link(["transactions", o.heldBy.transactionalId], o.heldBy.transactionalId),
      o.heldBy.state === "Ongoing"
        ? [`, open for ${duration(o.heldBy.age)}, which `, willEnd(o.heldBy)]
        : ", whose marker is not written",
      ". ",
    );
  }
  if (o.pending) text.push("A transaction will change the offset. ");
  return text.length ? text : "It has read everything.";
}

const nameOf = (m) => m.groupInstanceId || m.clientId || m.memberId;

const members = (g) =>
  table(
    "Members of " + g.id,
    ["Member", "Client ID", "Host", g.members.some((m) => m.tasks) ? "Tasks" : "Partitions", "Action"],
    g.members.map((m) => ({
      key: m.memberId,
      cells: [
        m.groupInstanceId ? [m.groupInstanceId, h("div", { class: "soft" }, m.memberId)] : m.memberId,
        m.clientId,
        m.host,
        listed(m.tasks || m.assignment.map((p) => `${p.topic}-${p.partition}`)),
        button("Expire", "Expire member " + m.memberId, "POST", ["groups", g.id, "members", m.memberId, "expire"]),
      ],
    })),
  );

const listed = (names) =>
  names.slice(0, 20).join(", ") + (names.length > 20 ? `, and ${count(names.length - 20)} more` : "");
