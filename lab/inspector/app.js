// The page: which sections the address asks for, how they are kept up to date, and what buttons do.
import { address, ask, Failure, get, h, to } from "./page.js";
import { findings } from "./findings.js";
import * as views from "./views.js";

const every = 2000; // ms between updates

const sections = {
  hanging: { title: "What hangs" }, findings: { title: "Findings" }, transactions: { title: "Transactions" }, topics: { title: "Topics" }, groups: { title: "Groups" },
  faults: { title: "Faults" }, clock: { title: "Clock" }, requests: { title: "Last requests" },
};

const element = (id) => document.getElementById(id);
let round = 0; // the update that counts: a later one makes an earlier one stop
let hung = -1;
let timer;

function say(text) {
  element("status").textContent = text;
}

function complain(text) {
  const box = element("problem");
  if (box.textContent !== text) box.textContent = text;
  box.hidden = !text;
}

// put shows nodes in a section. What has not changed is left alone, and the focus stays where it was.
function put(id, nodes) {
  const box = element(id).querySelector("div");
  const next = h("div", {}, nodes);
  if (box.isEqualNode(next)) return;
  const focused = box.contains(document.activeElement) ? document.activeElement : null;
  const key = focused && (focused.dataset.key || focused.id);
  const scrolled = new Map([...box.querySelectorAll(".scroll")].map((s) => [s.dataset.key, s.scrollLeft]));
  box.replaceWith(next);
  for (const s of next.querySelectorAll(".scroll")) s.scrollLeft = scrolled.get(s.dataset.key) || 0;
  if (!key) return;
  const again = [...next.querySelectorAll("[data-key], [id]")].find((e) => e.dataset.key === key || e.id === key);
  if (again) again.focus({ preventScroll: true });
}

async function update() {
  clearTimeout(timer);
  const mine = ++round;
  const at = address();
  const alone = sections[at.parts[0]] ? at.parts[0] : "";
  const problems = [];
  await Promise.all(Object.keys(sections).map(async (id) => {
    element(id).hidden = alone !== "" && id !== alone && id !== "hanging";
    if (element(id).hidden) return;
    try {
      const found = await (id === "findings" ? findings : views[id])(id === alone ? at : null);
      if (mine !== round) return;
      put(id, (found.nodes || found).filter(Boolean));
      if (id === "hanging") announce(found.count);
    } catch (problem) {
      if (mine !== round) return;
      if ((id === "requests" || id === "findings") && problem instanceof Failure && problem.status === 404) {
        element(id).hidden = true; // the lab is off: nothing is remembered or noticed, and nothing can be changed
        return;
      }
      problems.push(problem instanceof Failure ? problem.message : "The broker does not answer.");
      if (problem instanceof Failure && problem.status === 404) put(id, [h("p", { class: "none" }, problem.message)]);
    }
  }));
  if (mine !== round) return;
  complain([...new Set(problems)].join(" "));
  if (!document.hidden) timer = setTimeout(update, every);
}

// announce tells screen readers how much hangs, when that changes.
function announce(count) {
  if (count !== hung && (hung >= 0 || count > 0)) say(count === 0 ? "Nothing hangs." : count === 1 ? "One thing hangs." : `${count} things hang.`);
  hung = count;
}

async function act(text, method, parts, body) {
  try {
    const answer = await ask(method, parts, {}, body);
    complain("");
    say(`${text}: done.` + (Array.isArray(answer.did) ? ` ${answer.did.length} things fell due.` : ""));
  } catch (problem) {
    say(`${text}: ${problem instanceof Failure ? problem.message : "the broker does not answer."}`);
  }
  await update();
}

function navigate() {
  const at = address();
  const links = [["", "Overview"], ...Object.keys(sections).filter((id) => id !== "hanging").map((id) => [id, sections[id].title])];
  element("nav").replaceChildren(...links.map(([id, title]) => {
    const a = h("a", { href: to(id ? [id] : []) }, title);
    if ((at.parts[0] || "") === id) a.setAttribute("aria-current", "page");
    return a;
  }));
  document.title = ["Once", ...at.parts].join(" / ");
  update();
}

function armed(event) {
  event.preventDefault();
  const f = Object.fromEntries(new FormData(event.target));
  const match = { api: f.api };
  if (f.subject && f.named) match[f.subject] = f.named;
  const when = f.when === "always" ? { always: true } : { [f.when]: Number(f.n) || 1 };
  const action = f.do === "error" || f.do === "delay" ? { [f.do]: f.value } : { [f.do]: true };
  act("Arm a fault of " + f.api, "POST", ["faults"], { match, when, do: action });
}

async function clusters() {
  const all = await fetch("v1/clusters", { cache: "no-store" }).then((answer) => answer.json()).catch(() => []);
  element("clusters").hidden = !Array.isArray(all) || all.length < 2;
  if (element("clusters").hidden) return;
  const chosen = address().query.get("cluster") || "default";
  element("cluster").replaceChildren(...all.map((c) => h("option", { value: c.name, selected: c.name === chosen }, c.name)));
}

views.useAction(act);
element("arm").addEventListener("submit", armed);
element("advance").addEventListener("submit", (event) => {
  event.preventDefault();
  const by = new FormData(event.target).get("by");
  act("Advance the clock by " + by, "POST", ["clock"], { advance: by });
});
element("next").addEventListener("click", () => act("Advance to the next deadline", "POST", ["clock"], { advanceToNext: true }));
element("freeze").addEventListener("click", () => act("Freeze the clock", "POST", ["clock"], { freeze: true }));
element("cluster").addEventListener("change", (event) => {
  location.hash = to([], event.target.value === "default" ? {} : { cluster: event.target.value });
  if (event.target.value === "default") location.hash = "#/";
});
addEventListener("hashchange", navigate);
document.addEventListener("visibilitychange", () => { if (!document.hidden) update(); });
get(["requests"], { limit: 1 }).catch((problem) => document.body.classList.toggle("readonly", problem instanceof Failure && problem.status === 404));
clusters();
navigate();
