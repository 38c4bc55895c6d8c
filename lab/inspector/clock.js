// The clock of the cluster, and the buttons that move it.
import { act, clockTime, count, duration, field, get, h, seconds, table } from "./page.js";

export const clock = { id: "clock", title: "Clock", show: showClock, controls };

let moved; // what the last move has done

async function showClock(at) {
  const c = await get(["clock"]);
  const ahead = seconds(c.offset);
  const offset =
    Math.abs(ahead) < 0.001
      ? "as the machine's clock"
      : `${duration(c.offset).replace("-", "")} ${ahead > 0 ? "ahead of" : "behind"} the machine's clock`;
  return [
    h(
      "p",
      { class: "clock" },
      h("span", { class: "now", "data-clock": c.now }, clockTime(c.now)),
      ` UTC, ${c.frozen ? "frozen, " : ""}${offset}.`,
    ),
    c.next &&
      h(
        "p",
        {},
        "Next: ",
        c.next.what === "check" ? "a check of the broker" : c.next.what,
        ` at ${clockTime(c.next.at)}.`,
      ),
    at && moved && outcome(moved),
  ];
}

function outcome(m) {
  if (m.did.length === 0 && m.pending.length === 0)
    return h("p", { class: "none" }, "Nothing fell due in the last move.");
  return [
    h("h3", {}, "What fell due in the last move"),
    table(
      "What fell due in the last move",
      ["Time", "What", "About"],
      m.did.slice(0, 50).map((d) => {
        const { at: time, what, ...about } = d;
        return [
          { of: clockTime(time), class: "time" },
          what,
          Object.entries(about)
            .map(([k, v]) => `${k} ${v}`)
            .join(", "),
        ];
      }),
    ),
    m.did.length > 50 && h("p", {}, `and ${count(m.did.length - 50)} more`),
    m.pending.length > 0 &&
      h(
        "p",
        {},
        "Due, and not finished yet: " +
          m.pending
            .slice(0, 20)
            .map((t) => t.transactionalId)
            .join(", "),
      ),
  ];
}

const move = (label, body) =>
  act(label, "POST", ["clock"], body, {
    said: (answer) => {
      moved = answer;
      return `it is ${clockTime(answer.now)}, ${answer.did.length === 1 ? "one thing" : `${answer.did.length} things`} fell due.`;
    },
  });

function controls(at) {
  const simple = (text, label, body) =>
    h("button", { type: "button", onclick: () => move(label, withMembers(body)) }, text);
  const by = h("input", { name: "by", value: "1m", size: 6, required: true, autocomplete: "off" });
  const members = h("input", { type: "checkbox", name: "expireMembers" });
  const locks = h("input", { type: "checkbox", name: "expireLocks" });
  const isMove = (body) => body.advance || body.advanceToNext || body.set;
  const withMembers = (body) =>
    isMove(body)
      ? { ...body, ...(members.checked && { expireMembers: true }), ...(locks.checked && { expireLocks: true }) }
      : body;
  const submit = (make) => (event) => {
    event.preventDefault();
    move(...make());
  };
  const advance = h(
    "form",
    { class: "row", onsubmit: submit(() => ["Advance the clock by " + by.value, withMembers({ advance: by.value })]) },
    field("Advance by", by),
    h("button", { class: "primary" }, "Advance"),
  );
  const until = h("input", {
    name: "set",
    placeholder: "2030-01-01T00:00:00Z",
    size: 22,
    required: true,
    autocomplete: "off",
  });
  const set = h(
    "form",
    { class: "row", onsubmit: submit(() => ["Set the clock to " + until.value, withMembers({ set: until.value })]) },
    field("Set it to", until),
    h("button", {}, "Set"),
  );
  return h(
    "div",
    { class: "changes panel" },
    advance,
    h(
      "div",
      { class: "row" },
      simple("Advance to the next deadline", "Advance to the next deadline", { advanceToNext: true }),
      simple("Freeze", "Freeze the clock", { freeze: true }),
      simple("Resume", "Resume the clock", { resume: true }),
    ),
    at && set,
    at && h("label", { class: "check" }, members, "let members of groups time out, too, whose sessions end on the way"),
    at && h("label", { class: "check" }, locks, "let the locks of share groups end, too, though their members live"),
  );
}
