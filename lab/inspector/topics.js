// Topics, and the partitions of one.
import {
  bytes,
  chip,
  count,
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
import { forgetting, partition } from "./partition.js";

export const topics = { id: "topics", title: "Topics", show: showTopics, filters, controls };

function controls(at) {
  return at && at.parts[2] !== undefined && forgetting(at.parts[1], at.parts[2]);
}

function filters(at) {
  if (!at || at.parts[1] !== undefined) return null;
  const internal = at.query.get("internal") === "true";
  return h(
    "div",
    { class: "bar" },
    filter(["topics"], at, "topics"),
    link(["topics"], internal ? "Topics of users" : "Internal topics", { internal: internal ? "" : "true" }),
  );
}

async function showTopics(at) {
  if (at && at.parts[2] !== undefined) return partition(at.parts[1], at.parts[2], at.query.get("offset"));
  if (at && at.parts[1] !== undefined) return topic(at.parts[1], Number(at.query.get("from")) || 0);
  const length = at ? size : few;
  const query = at
    ? { internal: at.query.get("internal"), name: at.query.get("name"), after: at.query.get("after") }
    : {};
  const all = await get(["topics"], { ...query, internal: query.internal || "false", brief: true, limit: length + 1 });
  if (!all.length) return [none("There is no topic.")];
  const rows = all
    .slice(0, length)
    .map((t) => ({
      key: t.topicId,
      cells: [
        t.partitionCount === 1 ? link(["topics", t.name, 0], t.name) : link(["topics", t.name], t.name),
        t.partitionCount,
        count(t.offsetCount),
        t.unstableCount ? { of: count(t.unstableCount), class: "warn" } : "0",
        t.openTransactions ? { of: count(t.openTransactions), class: "warn" } : "0",
        t.offlinePartitions > 0 && chip(`${t.offlinePartitions} offline`, "aborted"),
      ],
    }));
  return [
    table(
      "Topics",
      ["Topic", ["Partitions", "n"], ["Offsets", "n"], ["Not yet stable", "n"], ["Open transactions", "n"], "State"],
      rows,
    ),
    at
      ? pages(["topics"], query, all, length, (t) => t.name)
      : all.total > length && h("p", {}, link(["topics"], `All ${count(all.total)} topics`)),
  ];
}

async function topic(name, from) {
  const t = await get(["topics", name], { from, limit: size });
  const rows = t.partitions.map((p) => ({
    key: String(p.partition),
    cells: [
      partitionLink({ topic: name, partition: p.partition }),
      p.logStartOffset,
      p.lastStableOffset < p.highWatermark ? { of: p.lastStableOffset, class: "warn" } : p.lastStableOffset,
      p.highWatermark,
      p.openTransactions,
      p.producers,
      bytes(p.sizeBytes),
      p.offline ? chip("offline", "aborted") : p.heldBy ? holderLink(p.heldBy) : "",
    ],
  }));
  const last = Math.min(from + size, t.partitionCount);
  return [
    h("h3", {}, name),
    facts([
      ["Topic ID", t.topicId],
      ["Partitions", count(t.partitionCount)],
      ["Open transactions", count(t.openTransactions)],
    ]),
    table(
      "Partitions of " + name,
      [
        "Partition",
        ["Log start", "n"],
        ["Last stable", "n"],
        ["High watermark", "n"],
        ["Open transactions", "n"],
        ["Producers", "n"],
        ["Size", "n"],
        "Held back by",
      ],
      rows,
    ),
    t.partitionCount > size &&
      h(
        "p",
        { class: "pages" },
        h("span", {}, `${from} to ${last - 1} of ${count(t.partitionCount)}`),
        from > 0 && link(["topics", name], "First page"),
        last < t.partitionCount && link(["topics", name], "Next page", { from: last }),
      ),
    h("p", {}, link(["requests"], "Its last requests", { topic: name })),
  ];
}

// holderLink names the transaction that holds back a partition.
export const holderLink = (holder) =>
  holder.transactionalId
    ? link(["transactions", holder.transactionalId], holder.transactionalId)
    : `producer ${holder.producerId}, hanging`;
