// The sections of the page. Each has show(at), which asks the lab and returns nodes; at is the address when the section is
// shown alone, else null: then it shows a few lines.
import { clockTime, duration, get, h, link, none, pages, shown, table } from "./page.js";

const few = 10;
const size = 50;

let act; // (text, method, parts, body) makes a call and says what came of it; app.js sets it

export function useAction(action) {
  act = action;
}

export const button = (text, label, method, parts, body) =>
  h("button", { type: "button", class: "changes", "aria-label": label, key: label, onclick: () => act(label, method, parts, body) }, text);

async function list(name, at) {
  const query = { limit: (at ? size : few) + 1 };
  if (at && at.query.get("after")) query.after = at.query.get("after");
  return get([name], query);
}

const more = (at, all, name, nameOf) => (at ? pages([name], all, size, nameOf) : all.length > few && h("p", {}, link([name], "All " + name)));

let suspects = new Set(); // partitions whose open transaction no coordinator knew at the last update, with their offset

// hanging returns a sentence for each thing that waits, with the button that ends it.
export async function hanging() {
  const [open, held, faults, clock] = await Promise.all([
    get(["transactions"], { open: true, limit: 1000 }), get(["topics"], { open: true, limit: few }), get(["faults"]), get(["clock"])]);
  const nodes = [];
  const offsets = await offsetsOf(open.slice(0, few));
  for (const t of open.slice(0, few)) nodes.push(transactionSentence(t, offsets));
  if (open.length > few) nodes.push(h("p", {}, "More transactions are open. ", link(["transactions"], "All transactions", { open: true })));
  const known = new Map(); // how many transactions of a coordinator are open in a partition
  for (const p of open.flatMap((t) => t.partitions)) known.set(`${p.topic}/${p.partition}`, (known.get(`${p.topic}/${p.partition}`) || 0) + 1);
  const before = suspects; // both lists are read one after the other: who is in doubt once may just have begun or ended
  suspects = new Set();
  for (const t of open.length < 1000 ? held : []) {
    for (const p of t.partitions.filter((one) => one.openTransactions > (known.get(`${t.name}/${one.partition}`) || 0)).slice(0, few)) {
      const suspect = `${t.name}/${p.partition}/${p.lastStableOffset}`;
      suspects.add(suspect);
      if (!before.has(suspect)) continue;
      nodes.push(sentence(`${t.name}-${p.partition}`, [link(["topics", t.name, p.partition], `${t.name}-${p.partition}`, { offset: p.lastStableOffset }),
        ` stands at offset ${p.lastStableOffset} of ${p.highWatermark}: a transaction in it hangs, no coordinator will end it. kafka-transactions abort does.`]));
    }
  }
  for (const f of faults.filter((one) => one.held > 0)) {
    nodes.push(sentence("fault " + f.id, [`Fault ${f.name || f.id} holds ${f.held} of ${f.matched} matching requests.`],
      button("Release", "Release what fault " + f.id + " holds", "POST", ["faults", f.id, "release"])));
  }
  if (clock.frozen) {
    nodes.push(sentence("clock", ["The clock is frozen: no timeout falls due."], button("Resume", "Resume the clock", "POST", ["clock"], { resume: true })));
  }
  return { nodes: nodes.length ? nodes : [none("Nothing: no transaction is open, nothing is held, the clock runs.")], count: nodes.length };
}

const sentence = (key, text, ...buttons) => h("div", { class: "hangs", "data-hangs": key }, h("span", {}, ...text), ...buttons);

async function offsetsOf(transactions) {
  const names = [...new Set(transactions.flatMap((t) => t.partitions.slice(0, 1).map((p) => p.topic)))];
  const found = new Map();
  await Promise.all(names.map(async (name) => {
    const topic = await get(["topics", name]).catch(() => null);
    for (const p of topic ? topic.partitions : []) found.set(name + "/" + p.partition, p);
  }));
  return found;
}

function transactionSentence(t, offsets) {
  const text = [];
  const first = t.partitions[0];
  const at = first && offsets.get(first.topic + "/" + first.partition);
  if (at && at.lastStableOffset < at.highWatermark) {
    text.push(link(["topics", first.topic, first.partition], `${first.topic}-${first.partition}`, { offset: at.lastStableOffset }),
      ` stands at offset ${at.lastStableOffset} of ${at.highWatermark}: `);
  }
  text.push(link(["transactions", t.transactionalId], t.transactionalId), ` (producer ${t.producerId}, epoch ${t.producerEpoch}) `);
  text.push(t.state === "Ongoing"
    ? `has been open for ${duration(t.age)} and will be aborted in ${duration(t.timeLeft)}`
    : `is in ${t.state} since its start ${duration(t.age)} ago`);
  text.push(t.partitions.length > 1 ? `; it has ${t.partitions.length} partitions.` : ".");
  const end = t.state === "Ongoing" && button("Abort", "Abort transaction " + t.transactionalId, "POST", ["transactions", t.transactionalId, "abort"]);
  return sentence(t.transactionalId, text, end || "");
}

export async function transactions(at) {
  if (at && at.parts[1] !== undefined) return transaction(at.parts[1]);
  const onlyOpen = at && at.query.get("open") === "true";
  const all = onlyOpen ? await get(["transactions"], { open: true, limit: size }) : await list("transactions", at);
  if (!all.length) return [none("There is no transactional ID.")];
  const rows = all.slice(0, at ? size : few).map((t) => [
    link(["transactions", t.transactionalId], t.transactionalId), t.state, `${t.producerId} / ${t.producerEpoch}`,
    t.partitions.length, t.age ? duration(t.age) : "", t.timeLeft ? duration(t.timeLeft) : "",
  ]);
  return [table("Transactions", ["Transactional ID", "State", "Producer / epoch", "Partitions", "Open for", "Time left"], rows),
    !onlyOpen && more(at, all, "transactions", (t) => t.transactionalId)];
}

async function transaction(id) {
  const t = await get(["transactions", id]);
  return [
    h("h3", {}, id),
    h("p", {}, `${t.state}, producer ${t.producerId}, epoch ${t.producerEpoch}, timeout ${duration(t.timeout)}.`,
      t.age ? ` Open for ${duration(t.age)}, ${duration(t.timeLeft)} left.` : ""),
    h("p", {}, t.partitions.length ? "Partitions: " : "No partitions.",
      t.partitions.slice(0, size).flatMap((p) => [link(["topics", p.topic, p.partition], `${p.topic}-${p.partition}`), " "])),
    h("p", {}, t.state === "Ongoing" && button("Abort", "Abort transaction " + id, "POST", ["transactions", id, "abort"]), " ",
      button("Fence", "Fence the producer of " + id, "POST", ["transactions", id, "fence"])),
    table("Transitions of " + id, ["Time", "State", "Producer / epoch", "Reason"],
      t.transitions.map((c) => [{ of: clockTime(c.at), class: "n" }, c.state, `${c.producerId} / ${c.producerEpoch}`, c.reason])),
  ];
}

const sum = (all, of) => all.reduce((n, one) => n + of(one), 0);

export async function topics(at) {
  if (at && at.parts[2] !== undefined) return partition(at.parts[1], at.parts[2], at.query.get("offset"));
  if (at && at.parts[1] !== undefined) return topic(at.parts[1], Number(at.query.get("from")) || 0);
  const all = await list("topics", at);
  if (!all.length) return [none("There is no topic.")];
  const rows = all.slice(0, at ? size : few).map((t) => [
    t.partitions.length === 1 ? link(["topics", t.name, 0], t.name) : link(["topics", t.name], t.name), t.partitions.length,
    sum(t.partitions, (p) => p.highWatermark - p.logStartOffset), sum(t.partitions, (p) => p.highWatermark - p.lastStableOffset),
    sum(t.partitions, (p) => p.openTransactions), t.partitions.some((p) => p.offline) ? "offline" : "",
  ]);
  return [table("Topics", ["Topic", "Partitions", "Offsets", "Not yet stable", "Open transactions", "State"], rows),
    more(at, all, "topics", (t) => t.name)];
}

async function topic(name, from) {
  const t = await get(["topics", name]);
  const rows = t.partitions.slice(from, from + size).map((p) => [
    link(["topics", name, p.partition], `${name}-${p.partition}`), p.logStartOffset, p.lastStableOffset, p.highWatermark, p.openTransactions,
    p.producers, p.sizeBytes, p.offline || "",
  ]);
  return [h("h3", {}, name),
    table("Partitions of " + name, ["Partition", "Log start", "Last stable", "High watermark", "Open transactions", "Producers", "Bytes", "Offline"], rows),
    h("div", { class: "pages" }, from > 0 && link(["topics", name], "First page"),
      from + size < t.partitions.length && link(["topics", name], "Next page", { from: from + size }))];
}

// partition shows batches as a strip in the order of the log, and their records.
async function partition(name, index, offset) {
  const query = { limit: size };
  if (/^\d+$/.test(offset || "")) query.from = offset;
  const r = await get(["records", name, index], query);
  const parts = ["topics", name, index];
  const chosen = query.from === undefined ? -1 : Number(offset);
  return [
    h("h3", {}, link(["topics", name], name), ` partition ${index}`),
    h("p", {}, `Log start offset ${r.logStartOffset}, last stable offset ${r.lastStableOffset}, high watermark ${r.highWatermark}.`),
    strip(r),
    h("div", { class: "pages" },
      r.logStartOffset < r.highWatermark && link(parts, "First records"),
      r.nextOffset < r.highWatermark && r.batches.length > 0 && link(parts, "Next records", { offset: r.nextOffset }),
      link(parts, "Last records", { offset: Math.max(r.logStartOffset, r.highWatermark - 20) })),
    r.batches.length
      ? table(`Records of ${name}-${index}`, ["Offset", "Fate", "Producer", "Time", "Key", "Value", "Headers"], r.batches.flatMap((b) => rowsOf(b, chosen)))
      : none("There is no record from here on."),
  ];
}

function strip(r) {
  const items = [];
  const lines = [["last stable offset", r.lastStableOffset], ["high watermark", r.highWatermark]];
  const draw = (upTo) => {
    while (lines.length && lines[0][1] <= upTo) {
      const [what, at] = lines.shift();
      items.push(h("li", { class: "mark", "data-line": what }, `${what} ${at}`));
    }
  };
  if (r.batches.length) while (lines.length && lines[0][1] < r.batches[0].baseOffset) lines.shift(); // it lies before this page
  for (const b of r.batches) {
    draw(b.baseOffset);
    const text = b.fate === "marker" ? b.marker : `${b.baseOffset}${b.lastOffset > b.baseOffset ? "–" + b.lastOffset : ""}`;
    const label = `${b.fate === "marker" ? b.marker + " marker" : b.fate} offset ${b.baseOffset} to ${b.lastOffset}, ${who(b)}`;
    const item = h("li", { class: b.fate, "data-fate": b.fate, "data-offset": b.baseOffset },
      h("button", { type: "button", "aria-label": label, title: label, key: "batch " + b.baseOffset, onclick: () => reveal(b.baseOffset) }, text));
    item.style.flex = `1 1 ${Math.min(14, 2.5 + (b.lastOffset - b.baseOffset) / 2)}rem`;
    items.push(item);
  }
  if (r.nextOffset >= r.highWatermark) draw(Infinity);
  return h("ol", { class: "strip", "aria-label": "Batches by fate" }, items);
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

const who = (b) => (b.producerId < 0 ? "no producer ID" : `${b.transactionalId ? b.transactionalId + ", " : ""}producer ${b.producerId}, epoch ${b.producerEpoch}`);

function rowsOf(b, chosen) {
  if (b.fate === "marker") {
    return [{ id: "offset-" + b.baseOffset, class: chosen === b.baseOffset || revealed === b.baseOffset ? "chosen" : "",
      cells: [b.baseOffset, { of: b.marker + " marker", class: "fate marker" }, who(b), "", "", "", ""] }];
  }
  return b.records.map((r, i) => ({
    id: "offset-" + (i === 0 ? b.baseOffset : r.offset), class: chosen === r.offset || (i === 0 && revealed === b.baseOffset) ? "chosen" : "",
    cells: [r.offset, { of: b.fate, class: "fate " + b.fate }, who(b), { of: clockTime(r.timestamp), class: "n" }, { of: shown(r.key), class: "value" },
      { of: shown(r.value), class: "value" }, { of: (r.headers || []).flatMap((one) => [one.key, ": ", shown(one.value), "\n"]), class: "value" }],
  }));
}

export async function groups(at) {
  if (at && at.parts[1] !== undefined) return group(at.parts[1]);
  const all = await list("groups", at);
  if (!all.length) return [none("There is no group.")];
  const rows = all.slice(0, at ? size : few).map((g) => [
    link(["groups", g.id], g.id), g.type, g.state, g.members.length, g.lag, g.offsets.filter((o) => o.pending).length,
  ]);
  return [table("Groups", ["Group", "Type", "State", "Members", "Lag", "Pending in transactions"], rows), more(at, all, "groups", (g) => g.id)];
}

async function group(id) {
  const g = await get(["groups", id]);
  return [
    h("h3", {}, id),
    h("p", {}, `${g.type} group, ${g.state}${g.protocol ? ", " + g.protocol : ""}. Lag against the last stable offset: ${g.lag}.`),
    table("Members of " + id, ["Member", "Client ID", "Host", "Partitions", "Action"], g.members.slice(0, size).map((m) => [
      m.groupInstanceId || m.memberId, m.clientId, m.host, m.assignment.map((p) => `${p.topic}-${p.partition}`).join(" "),
      button("Expire", "Expire member " + m.memberId, "POST", ["groups", id, "members", m.memberId, "expire"]),
    ])),
    table("Offsets of " + id, ["Partition", "Committed", "Last stable", "Lag", "Pending"], g.offsets.slice(0, 10 * size).map((o) => [
      link(["topics", o.topic, o.partition], `${o.topic}-${o.partition}`), o.committed < 0 ? "none" : o.committed, o.lastStableOffset, o.lag,
      o.pending ? "in a transaction" : "",
    ])),
  ];
}

const words = (of) => Object.entries(of || {}).map(([key, value]) => (value === true ? key : `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`)).join(", ");

export async function faults() {
  const all = await get(["faults"]);
  if (!all.length) return [none("There is no fault.")];
  return [table("Faults", ["Fault", "Match", "When", "Do", "Matched", "Triggered", "Held", "Action"], all.slice(0, 4 * size).map((f) => [
    f.name ? `${f.id} ${f.name}` : f.id, words(f.match), words(f.when) || "the first", words(f.do), f.matched, f.triggered, f.held,
    [f.held > 0 && button("Release", "Release fault " + f.id, "POST", ["faults", f.id, "release"]),
      button("End", "End fault " + f.id, "DELETE", ["faults", f.id])].filter(Boolean),
  ]))];
}

export async function clock() {
  const c = await get(["clock"]);
  return [h("p", {}, h("span", { "data-clock": c.now }, clockTime(c.now)), ` UTC, ${c.frozen ? "frozen, " : ""}${duration(c.offset)} ahead of the machine's clock.`,
    c.next ? ` Next: ${c.next.what} at ${clockTime(c.next.at)}.` : "")];
}

export async function requests(at) {
  const all = await get(["requests"], { limit: at ? 4 * size : few });
  if (!all.length) return [none("No client has asked for anything yet.")];
  return [table("Last requests", ["Time", "Client", "Request", "About", "Answer", "Took", "Fault"], all.reverse().map((r) => [
    { of: clockTime(r.at).slice(11), class: "n" }, r.clientId || r.client, `${r.api} v${r.version}`,
    [...(r.transactionalIds || []), ...(r.groups || []), ...(r.topics || [])].slice(0, 5).join(", "),
    r.outcome === "answered" ? r.codes.join(", ") : r.outcome, duration(r.took), r.fault || "",
  ])), !at && h("p", {}, link(["requests"], "More requests"))];
}
