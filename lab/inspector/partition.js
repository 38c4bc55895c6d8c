// A partition: where readers stand and why, its batches as a strip, and its records.
import {
  act,
  bytes,
  button,
  chip,
  clockTime,
  count,
  cutAt,
  duration,
  facts,
  Failure,
  field,
  get,
  h,
  link,
  many,
  none,
  shown,
  size,
  table,
} from "./page.js";
import { willEnd } from "./hanging.js";

const most = 20; // groups whose offsets are marked

let kept = {}; // the records that are shown: they are fetched again when an offset of the partition has moved

// partition shows the records from an offset on, else the last ones.
export async function partition(name, index, offset) {
  const [topic, readers] = await Promise.all([
    get(["topics", name], { from: index, limit: 1 }),
    get(["groups"], { topic: name, limit: most, estimate: true }),
  ]);
  const p = topic.partitions[0];
  if (!p || String(p.partition) !== index) throw new Failure(404, `There is no partition ${index} of ${name}.`);
  const chosen = /^\d+$/.test(offset || "") ? Number(offset) : -1;
  const from = chosen >= 0 ? chosen : Math.max(p.logStartOffset, p.highWatermark - size);
  const at = ["topics", name, index];
  const heading = [
    h("h3", {}, link(["topics", name], name), ` partition ${index} `, p.offline ? chip("offline", "aborted") : ""),
    where(name, p),
    facts([
      ["Log start offset", String(p.logStartOffset)],
      ["Last stable offset", String(p.lastStableOffset)],
      ["High watermark", String(p.highWatermark)],
      ["Open transactions", count(p.openTransactions)],
      ["Producers", count(p.producers)],
      ["Leader epoch", String(p.leaderEpoch)],
      ["Size", bytes(p.sizeBytes)],
    ]),
  ];
  if (p.offline) return heading;
  const r = await recordsOf(name, index, from, p);
  const marks = marksOf(p, readers, index);
  return [
    heading,
    legend(),
    strip(r, marks),
    h(
      "p",
      { class: "pages" },
      from > p.logStartOffset && link(at, "First records", { offset: p.logStartOffset }),
      r.nextOffset < p.highWatermark && r.batches.length > 0 && link(at, "Next records", { offset: r.nextOffset }),
      chosen >= 0 && link(at, "Last records"),
    ),
    r.batches.length
      ? table(
          `Records of ${name}-${index}`,
          [["Offset", "n"], "Fate", "Producer", "Time", "Key", "Value", "Headers"],
          r.batches.flatMap((b) => rowsOf(b, chosen)),
        )
      : none("There is no record from here on."),
    h(
      "p",
      { class: "buttons" },
      button(
        "Take offline",
        `Take ${name}-${index} offline`,
        "POST",
        ["partitions", name, index, "offline"],
        undefined,
        { sure: "Nobody can read or write it until it is brought online.", verb: "Take it offline" },
      ),
    ),
  ];
}

async function recordsOf(name, index, from, p) {
  const key = JSON.stringify([location.hash, from, p.logStartOffset, p.lastStableOffset, p.highWatermark]);
  if (kept.key !== key) kept = { key, records: await get(["records", name, index], { from, limit: size, cut: cutAt }) };
  return kept.records;
}

// forgetting makes the form that makes the partition forget a producer.
export function forgetting(name, index) {
  const id = h("input", { name: "producer", type: "number", min: 0, required: true });
  return h(
    "form",
    {
      class: "changes row",
      onsubmit: (event) => {
        event.preventDefault();
        act(`Forget producer ${id.value} in ${name}-${index}`, "POST", ["producers", id.value, "forget"], {
          topic: name,
          partition: Number(index),
        });
      },
    },
    field("Producer ID", id),
    h("button", {}, "Forget the producer"),
  );
}

// where says in words where readers stand, and why.
function where(name, p) {
  const own = `${name}-${p.partition}`;
  if (p.offline) {
    return h(
      "p",
      { class: "where bad" },
      `Nobody can read or write: ${p.offline}. `,
      button("Bring online", `Bring ${own} online`, "POST", ["partitions", name, p.partition, "online"]),
    );
  }
  if (p.highWatermark === p.logStartOffset) return h("p", { class: "where" }, "The partition has no records.");
  if (p.lastStableOffset === p.highWatermark) {
    return h("p", { class: "where good" }, `All readers can read up to the end, offset ${p.highWatermark}.`);
  }
  const text = [
    `Readers of committed records stand at offset ${p.lastStableOffset}, ${many(p.highWatermark - p.lastStableOffset, "offset")} `,
    `before the end, which readers of uncommitted ones reach. `,
  ];
  const t = p.heldBy;
  if (!t) text.push("The marker before it is not durable yet.");
  else if (t.hanging)
    text.push(
      `A transaction of producer ${t.producerId} has begun there that no coordinator knows: it hangs until it is aborted.`,
    );
  else if (t.state === "Ongoing") {
    text.push(
      "There begins a transaction of ",
      link(["transactions", t.transactionalId], t.transactionalId),
      `, which has been open for ${duration(t.age)} and `,
      willEnd(t),
      ".",
    );
  } else {
    text.push(
      "There begins a transaction of ",
      link(["transactions", t.transactionalId], t.transactionalId),
      `, which is decided (${t.state}), but its marker is not written yet.`,
    );
  }
  return h("p", { class: "where open" }, text);
}

const fates = {
  plain: "without transaction",
  committed: "committed",
  aborted: "aborted",
  open: "open transaction",
  marker: "marker",
};

const legend = () =>
  h(
    "ul",
    { class: "legend", "aria-label": "Colours of batches" },
    Object.entries(fates).map(([fate, text]) => h("li", { class: fate }, text)),
  );

// marksOf are the lines of the strip, in the order of their offsets.
function marksOf(p, readers, index) {
  const marks = readers.flatMap((g) =>
    g.offsets
      .filter((o) => String(o.partition) === index && o.committed >= 0)
      .map((o) => ({ kind: "reader", what: g.id, at: o.committed })),
  );
  marks.push(
    { kind: "stable", what: "last stable offset", at: p.lastStableOffset },
    { kind: "end", what: "high watermark", at: p.highWatermark },
  );
  return marks.map((m, i) => ({ ...m, i })).sort((a, b) => a.at - b.at || a.i - b.i);
}

// strip draws batches in the order of the log, and the lines between them.
function strip(r, marks) {
  const items = [];
  const first = r.batches.length ? r.batches[0].baseOffset : r.nextOffset;
  let lines = marks.filter((m) => m.at >= first);
  const draw = (upTo) => {
    while (lines.length && lines[0].at <= upTo) items.push(line(lines.shift()));
  };
  for (const b of r.batches) {
    draw(b.baseOffset);
    items.push(batch(b));
  }
  if (r.nextOffset >= r.highWatermark) draw(Infinity);
  else draw(r.nextOffset);
  return h("ol", { class: "strip", "aria-label": "Batches in the order of the log" }, items);
}

const line = (m) =>
  h(
    "li",
    { class: "line " + m.kind, "data-line": m.what, key: `line ${m.kind} ${m.what}` },
    m.kind === "reader"
      ? [h("span", { class: "soft" }, "group "), h("bdi", {}, m.what), ` ${m.at}`]
      : `${m.what} ${m.at}`,
  );

function batch(b) {
  const n = b.lastOffset - b.baseOffset;
  const text = b.fate === "marker" ? b.marker : `${b.baseOffset}${n > 0 ? "–" + b.lastOffset : ""}`;
  const label = `${b.fate === "marker" ? b.marker + " marker" : b.fate} offset ${b.baseOffset} to ${b.lastOffset}, ${who(b)}`;
  return h(
    "li",
    {
      class: b.fate,
      "data-fate": b.fate,
      "data-offset": b.baseOffset,
      key: "batch " + b.baseOffset,
      style: { flex: `1 1 ${Math.min(14, 2.6 + n / 2)}rem` },
    },
    h(
      "button",
      {
        type: "button",
        "aria-label": label,
        title: label,
        key: "show " + b.baseOffset,
        onclick: () => reveal(b.baseOffset),
      },
      text,
    ),
  );
}

let revealed = -1; // the batch that was clicked

function reveal(offset) {
  revealed = offset;
  const row = document.getElementById("offset-" + offset);
  if (!row) return;
  for (const other of document.querySelectorAll("tr.chosen")) other.classList.remove("chosen");
  row.classList.add("chosen");
  row.scrollIntoView({ block: "center" });
  row.focus();
}

const who = (b) =>
  b.producerId < 0
    ? "no producer ID"
    : `${b.transactionalId ? b.transactionalId + ", " : ""}producer ${b.producerId}, epoch ${b.producerEpoch}`;

const whoCell = (b) =>
  b.producerId < 0
    ? h("span", { class: "soft" }, "none")
    : [
        b.transactionalId && [link(["transactions", b.transactionalId], b.transactionalId), " "],
        h("span", { class: "soft whole" }, `${b.producerId} / ${b.producerEpoch}`),
      ];

function rowsOf(b, chosen) {
  const isChosen = (offset, first) => (chosen === offset || (first && revealed === b.baseOffset) ? "chosen" : "");
  if (b.fate === "marker") {
    return [
      {
        id: "offset-" + b.baseOffset,
        key: "row " + b.baseOffset,
        class: isChosen(b.baseOffset, true) + " control",
        cells: [b.baseOffset, { of: b.marker + " marker", class: "fate marker" }, whoCell(b), "", "", "", ""],
      },
    ];
  }
  return b.records.map((r, i) => ({
    id: "offset-" + (i === 0 ? b.baseOffset : r.offset),
    key: "row " + r.offset,
    class: isChosen(r.offset, i === 0),
    cells: [
      r.offset,
      { of: b.fate, class: "fate " + b.fate },
      whoCell(b),
      { of: clockTime(r.timestamp), class: "time" },
      { of: shown(r.key, r.keyBytes), class: "value" },
      { of: shown(r.value, r.valueBytes), class: "value" },
      {
        of: (r.headers || []).map((one) => h("div", {}, h("bdi", {}, one.key), ": ", shown(one.value))),
        class: "value",
      },
    ],
  }));
}
