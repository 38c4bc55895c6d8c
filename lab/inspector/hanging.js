// What hangs: a sentence for each thing that waits, with the button that ends it.
import { address, button, duration, Failure, few, get, h, link, many, none, partitionLink } from "./page.js";

let seen = null; // the keys of the last update

export const hanging = { id: "hanging", title: "What hangs", always: true, show: showHanging };

const fewer = 2; // sentences above a view of something else

async function showHanging() {
  try {
    const [found, held, clock] = await Promise.all([
      get(["hanging"], { limit: few }),
      get(["faults"], { held: true, brief: true, limit: few }),
      get(["clock"]),
    ]);
    return withNews(sentences(found, held, clock));
  } catch (problem) {
    if (!(problem instanceof Failure) || problem.status !== 503) throw problem;
    return withNews([
      sentence(
        "down",
        "bad",
        ["The cluster has stopped: nobody is served."],
        button("Open it again", "Open the cluster again", "POST", ["restart"], { how: "clean" }),
      ),
    ]);
  }
}

function sentences(found, held, clock) {
  const all = [];
  for (const p of found.offline) all.push(offlineSentence(p));
  if (found.offlineCount > found.offline.length)
    all.push(further(found.offlineCount - found.offline.length, "partition", "offline"));
  for (const t of found.hanging) all.push(hangingSentence(t));
  if (found.hangingCount > found.hanging.length) {
    all.push(further(found.hangingCount - found.hanging.length, "transaction", "unknown to every coordinator"));
  }
  for (const t of found.open) all.push(openSentence(t));
  if (found.openCount > found.open.length) {
    all.push(
      further(
        found.openCount - found.open.length,
        "transaction",
        "open",
        link(["transactions"], "All open transactions", { open: true }),
      ),
    );
  }
  for (const f of held) all.push(heldSentence(f));
  if (held.total > held.length)
    all.push(further(held.total - held.length, "fault", "holding something", link(["faults"], "All faults")));
  if (clock.frozen) {
    all.push(
      sentence(
        "clock",
        "held",
        ["The clock is frozen: no timeout falls due."],
        button("Resume", "Resume the clock", "POST", ["clock"], { resume: true }),
      ),
    );
  }
  return all;
}

const sentence = (key, kind, text, ...buttons) =>
  h(
    "li",
    { class: "hangs " + kind, "data-hangs": key, key: "hangs " + key },
    h("span", {}, text),
    h("span", { class: "buttons" }, buttons),
  );

const further = (n, noun, what, ...links) =>
  h(
    "li",
    { class: "further", key: "further " + what },
    `${many(n, "more " + noun)} ${n === 1 ? "is" : "are"} ${what}. `,
    links,
  );

const stands = (p) => [
  partitionLink(p, p.lastStableOffset),
  ` stands at offset ${p.lastStableOffset} of ${p.highWatermark}: `,
];

function offlineSentence(p) {
  const name = `${p.topic}-${p.partition}`;
  return sentence(
    "offline " + name,
    "bad",
    [partitionLink(p), ` cannot be read or written: ${p.offline}.`],
    button("Bring online", "Bring " + name + " online", "POST", ["partitions", p.topic, p.partition, "online"]),
  );
}

// hangingSentence is about a transaction that only the partition knows.
function hangingSentence(t) {
  const name = `${t.topic}-${t.partition}`;
  const since = t.firstOffset === t.lastStableOffset ? "" : ` since offset ${t.firstOffset}`;
  return sentence(
    name,
    "bad",
    [
      stands(t),
      `a transaction of producer ${t.producerId}, epoch ${t.producerEpoch}, hangs${since}. `,
      "No coordinator knows it, so no timeout ends it.",
    ],
    button(
      "Abort",
      `Abort the transaction of producer ${t.producerId} in ${name}`,
      "POST",
      ["producers", t.producerId, "abort"],
      { topic: t.topic, partition: t.partition },
      { said: () => `a marker is written, ${name} goes on.` },
    ),
  );
}

function openSentence(t) {
  const text = [
    t.holds && stands(t.holds),
    link(["transactions", t.transactionalId], t.transactionalId),
    ` (producer ${t.producerId}, epoch ${t.producerEpoch}) `,
  ];
  if (t.state === "Ongoing") text.push(`has been open for ${duration(t.age)} and `, willEnd(t));
  else
    text.push(
      `has decided to ${t.state === "PrepareCommit" ? "commit" : "abort"}, and ${many(t.partitionCount, "marker")} `,
      `${t.partitionCount === 1 ? "is" : "are"} not written yet`,
    );
  text.push(t.state === "Ongoing" && t.partitionCount > 1 ? `; it has ${t.partitionCount} partitions.` : ".");
  return sentence(
    t.transactionalId,
    "open",
    text,
    t.state === "Ongoing" &&
      button("Abort", "Abort transaction " + t.transactionalId, "POST", ["transactions", t.transactionalId, "abort"]),
  );
}

export const willEnd = (t) =>
  String(t.timeLeft).startsWith("-")
    ? `should have been aborted ${duration(t.timeLeft).slice(1)} ago`
    : `will be aborted in ${duration(t.timeLeft)}`;

function heldSentence(f) {
  const what = f.match.point ? many(f.held, "call") + " of " + f.match.point : many(f.held, "request");
  return sentence(
    "fault " + f.id,
    "held",
    ["Fault ", link(["faults"], f.name || f.id, { id: f.id }), ` holds ${what}.`],
    button("Release", "Release what fault " + f.id + " holds", "POST", ["faults", f.id, "release"], undefined, {
      said: (answer) => `${answer.released} released.`,
    }),
  );
}

// withNews tells screen readers what has begun to hang, and when nothing does any more.
function withNews(all) {
  const keys = new Set(all.map((s) => s.dataset.key));
  const news = all.filter((s) => seen && !seen.has(s.dataset.key));
  const announce =
    news.length > 0
      ? `${news.length === 1 ? "One more thing hangs" : `${news.length} more things hang`}.`
      : seen && seen.size > 0 && keys.size === 0
        ? "Nothing hangs any more."
        : "";
  seen = keys;
  const here =
    address().parts.length > 0 && all.length > fewer + 1
      ? [...all.slice(0, fewer), h("li", { class: "further", key: "more" }, link([], `And ${all.length - fewer} more`))]
      : all;
  const list =
    all.length > 0
      ? h("ul", { class: "hanging" }, here)
      : none("Nothing: no transaction is open, nothing is held, the clock runs.");
  return { nodes: [list], announce };
}
