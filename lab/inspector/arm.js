// The form that makes a fault: a rule for requests, or for an inner point of the broker.
import { act, field, h, options } from "./page.js";

const apis = [
  "Produce",
  "Fetch",
  "ListOffsets",
  "Metadata",
  "OffsetCommit",
  "OffsetFetch",
  "FindCoordinator",
  "JoinGroup",
  "Heartbeat",
  "LeaveGroup",
  "SyncGroup",
  "DescribeGroups",
  "ListGroups",
  "ApiVersions",
  "CreateTopics",
  "DeleteTopics",
  "DeleteRecords",
  "InitProducerId",
  "AddPartitionsToTxn",
  "AddOffsetsToTxn",
  "EndTxn",
  "TxnOffsetCommit",
  "CreatePartitions",
  "DescribeConfigs",
  "ConsumerGroupHeartbeat",
  "ShareGroupHeartbeat",
  "ShareFetch",
  "ShareAcknowledge",
  "StreamsGroupHeartbeat",
];

// names are the fields of match, and what they are called.
const names = {
  transactionalId: "Transactional ID",
  topic: "Topic",
  partition: "Partition",
  group: "Group",
  member: "Member",
  clientId: "Client ID",
  user: "User",
};

const actions = {
  loseAnswer: "lose the answer",
  loseRequest: "lose the request",
  error: "answer with an error",
  hold: "hold the request",
  holdAnswer: "hold the answer",
  delay: "delay the request",
  delayAnswer: "delay the answer",
  duplicate: "carry it out twice",
  blackhole: "black hole",
  disconnect: "disconnect",
  throttle: "throttle",
  kill: "kill the cluster",
  offline: "take the partition offline",
  fail: "fail",
};

const ofRequests = Object.keys(actions).filter((a) => !["kill", "offline", "fail"].includes(a));

// points are the inner points: when they are passed, what can happen there, and what they name.
const points = {
  "txn.prepare": [
    "the end of a transaction is decided, not written",
    ["hold", "delay", "error", "kill"],
    ["transactionalId"],
  ],
  "txn.marker": [
    "the Prepare record is written, this marker is not",
    ["hold", "delay", "kill"],
    ["transactionalId", "topic", "partition", "group"],
  ],
  "txn.complete": [
    "all markers are written, the Complete record is not",
    ["hold", "delay", "kill"],
    ["transactionalId"],
  ],
  "txn.expire": ["a timeout is due", ["hold"], ["transactionalId"]],
  "partition.append": ["before a batch is written", ["error", "offline", "kill"], ["topic", "partition"]],
  "partition.appended": ["a batch is written, not answered", ["kill"], ["topic", "partition"]],
  "group.append": ["before offsets or members are written", ["error", "kill"], ["group", "topic", "partition"]],
  "disk.sync": ["before a sync", ["delay", "fail"], []],
};

const times = {
  first: "the first time",
  nth: "only time number n",
  times: "the first n times",
  after: "n times, after m",
  always: "every time",
  probability: "by chance",
};

// arming makes the form.
export function arming() {
  const input = (name, more) => h("input", { name, autocomplete: "off", spellcheck: "false", ...more });
  const form = h(
    "form",
    { id: "arm", class: "changes panel", "aria-labelledby": "arm-title" },
    h("h3", { id: "arm-title" }, "Arm a fault"),
    h(
      "fieldset",
      {},
      h("legend", {}, "Where"),
      field(
        "Kind",
        h(
          "select",
          { name: "kind" },
          options([
            ["api", "requests of clients"],
            ["point", "an inner point"],
          ]),
        ),
      ),
      field("API", input("api", { list: "apis", placeholder: "EndTxn" }), "for-api"),
      field(
        "Point",
        h("select", { name: "point" }, options(Object.keys(points).map((p) => [p, `${p}: ${points[p][0]}`]))),
        "for-point",
      ),
      h(
        "datalist",
        { id: "apis" },
        apis.map((value) => h("option", { value })),
      ),
    ),
    h(
      "fieldset",
      {},
      h("legend", {}, "Of ", h("i", {}, "all if empty; * stands for any text")),
      Object.entries(names).map(([name, text]) =>
        field(text, input("match." + name, name === "partition" ? { type: "number", min: 0 } : {}), "match-" + name),
      ),
    ),
    h(
      "fieldset",
      {},
      h("legend", {}, "When"),
      field("Times", h("select", { name: "when" }, options(Object.entries(times)))),
      field("n", input("n", { type: "number", min: 1, value: "1" }), "needs-n"),
      field("m", input("m", { type: "number", min: 0, value: "1" }), "needs-m"),
      field(
        "Chance",
        input("probability", { type: "number", min: 0, max: 1, step: "any", value: "0.1" }),
        "needs-chance",
      ),
      field("Seed", input("seed", { type: "number", value: "1" }), "needs-chance"),
    ),
    h(
      "fieldset",
      {},
      h("legend", {}, "What"),
      field("Action", h("select", { name: "do" })),
      field("Error", input("error", { value: "COORDINATOR_NOT_AVAILABLE" }), "needs-error"),
      h(
        "label",
        { class: "check needs-carried" },
        h("input", { type: "checkbox", name: "carriedOut" }),
        "carry it out all the same",
      ),
      field("For", input("duration", { value: "2s" }), "needs-duration"),
    ),
    h(
      "fieldset",
      {},
      h("legend", {}, "Name"),
      field("For people", input("name", { placeholder: "commit gap" })),
      h("button", { class: "primary" }, "Arm"),
    ),
  );
  form.addEventListener("change", () => fit(form));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const rule = ruleOf(form);
    act("Arm a fault of " + (rule.match.point || rule.match.api || "all requests"), "POST", ["faults"], rule, {
      said: (f) => `it is ${f.id}.`,
    });
  });
  fit(form);
  return form;
}

// fit shows the fields that belong to what is chosen.
function fit(form) {
  const f = form.elements;
  const inner = f.kind.value === "point";
  const [, can, has] = inner ? points[f.point.value] : ["", ofRequests, Object.keys(names)];
  const chosen = can.includes(f.do.value) ? f.do.value : can[0];
  f.do.replaceChildren(
    ...options(
      can.map((a) => [a, inner && a === "hold" ? "hold" : actions[a]]),
      chosen,
    ),
  );
  f.do.value = chosen;
  const wanted = {
    "for-api": !inner,
    "for-point": inner,
    "needs-error": chosen === "error",
    "needs-carried": chosen === "error" && !inner,
    "needs-duration": ["delay", "delayAnswer", "throttle"].includes(chosen),
    "needs-n": ["nth", "times", "after"].includes(f.when.value),
    "needs-m": f.when.value === "after",
    "needs-chance": f.when.value === "probability",
    ...Object.fromEntries(Object.keys(names).map((name) => ["match-" + name, has.includes(name)])),
  };
  for (const [kind, is] of Object.entries(wanted)) for (const e of form.querySelectorAll("." + kind)) e.hidden = !is;
}

// ruleOf reads the rule from the fields that are shown.
function ruleOf(form) {
  const f = form.elements;
  const inner = f.kind.value === "point";
  const match = inner
    ? { point: f.point.value }
    : f.api.value
      ? { api: f.api.value.split(/[ ,]+/).filter(Boolean) }
      : {};
  for (const name of Object.keys(names)) {
    const e = f["match." + name];
    if (e.value !== "" && !e.closest("label").hidden) match[name] = name === "partition" ? Number(e.value) : e.value;
  }
  const n = Number(f.n.value);
  const when = {
    nth: { nth: n },
    times: { times: n },
    after: { after: Number(f.m.value), times: n },
    always: { always: true },
    probability: { probability: Number(f.probability.value), seed: Number(f.seed.value) },
  }[f.when.value];
  const kind = f.do.value;
  const value =
    kind === "error" ? f.error.value : ["delay", "delayAnswer", "throttle"].includes(kind) ? f.duration.value : true;
  const what = { [kind]: value, ...(kind === "error" && !inner && f.carriedOut.checked ? { carriedOut: true } : {}) };
  return { ...(f.name.value && { name: f.name.value }), match, ...(when && { when }), do: what };
}
