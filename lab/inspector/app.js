// The page: which sections the address asks for, and how they are kept up to date.
//
// A section is {id, title, show, filters, controls, always, withoutLab}. show(at) asks the lab and returns what is
// shown, as nodes or as {nodes, announce}; at is the address when the section is shown alone, else null: then it shows
// a few lines. filters(at) and controls(at) return what is made once for an address and stands above and below: forms.
// always: the section stands above every view. apart: it is shown alone only, by a link. withoutLab false: it is left out when the lab is off.
import { address, askAgain, clusters, Failure, get, h, show, to, toCluster } from "./page.js";
import { whenDone } from "./actions.js";
import { hanging } from "./hanging.js";
import { findings } from "./findings.js";
import { transactions } from "./transactions.js";
import { topics } from "./topics.js";
import { groups } from "./groups.js";
import { faults } from "./faults.js";
import { clock } from "./clock.js";
import { cluster } from "./cluster.js";
import { requests } from "./requests.js";
import { state } from "./state.js";

const every = 2000; // ms between updates
const everyWhenDown = 5000;
const noToken = "The broker wants a token.";

const sections = [hanging, findings, transactions, topics, groups, faults, clock, cluster, requests, state];

const element = (id) => document.getElementById(id);
let round = 0; // the update that counts: a later one makes an earlier one stop
let paused = false;
let timer;

for (const s of sections) {
  element("main").append(
    h(
      "section",
      { id: s.id, "aria-labelledby": s.id + "-title" },
      h("h2", { id: s.id + "-title" }, s.title),
      h("div", { class: "filters" }),
      h("div", { class: "view" }),
      h("div", { class: "controls" }),
    ),
  );
}

const isAlone = (s, at) => at.parts[0] === s.id && !s.always;

// update brings the sections up to date that the address asks for.
async function update() {
  clearTimeout(timer);
  const mine = ++round;
  const problems = new Set();
  await Promise.all(sections.filter((s) => !element(s.id).hidden).map((s) => refresh(s, mine, problems)));
  if (mine !== round) return;
  complain([...problems].join(" "));
  live(problems.size === 0);
  if (!document.hidden && !paused) timer = setTimeout(update, problems.size ? everyWhenDown : every);
}

// refresh brings one section up to date, unless another update has begun meanwhile.
async function refresh(s, mine, problems) {
  const at = address();
  const view = element(s.id).querySelector(".view");
  try {
    const found = await s.show(isAlone(s, at) ? at : null);
    if (mine !== round || found === undefined) return;
    show(view, found.nodes || found);
    if (found.announce) element("news").textContent = found.announce;
  } catch (problem) {
    if (mine === round) explain(s, view, problem, problems);
  }
}

// explain shows why a section has nothing to show.
function explain(s, view, problem, problems) {
  if (!(problem instanceof Failure)) {
    if (!(problem instanceof TypeError) || !/fetch|network|load/i.test(problem.message)) console.error(problem);
    problems.add("The broker does not answer.");
  } else if (problem.status === 404 && s.withoutLab === false && document.body.classList.contains("readonly")) {
    element(s.id).hidden = true; // the lab is off
  } else if (problem.status === 401) {
    problems.add(noToken);
  } else if (problem.status === 503) {
    show(view, h("p", { class: "none" }, "The cluster is not open."));
  } else {
    show(view, h("p", { class: "none" }, problem.message));
    if (problem.status !== 404) problems.add(problem.message);
  }
}

function complain(text) {
  const box = element("problem");
  show(box, [
    text,
    text.includes(noToken) && [
      " ",
      h(
        "button",
        {
          type: "button",
          key: "token",
          onclick: () => {
            askAgain();
            update();
          },
        },
        "Enter the token",
      ),
    ],
  ]);
  box.hidden = !text;
}

function live(answers) {
  element("live").textContent = paused ? "Paused" : answers ? "Live" : "No answer";
  document.body.classList.toggle("paused", paused);
  document.body.classList.toggle("down", !answers);
}

// navigate shows the sections of the address.
function navigate() {
  const at = address();
  const alone = sections.find((s) => isAlone(s, at));
  for (const s of sections) {
    element(s.id).hidden = s !== alone && !s.always && Boolean(alone || s.apart);
    for (const part of ["filters", "controls"]) {
      const made = s[part] && !element(s.id).hidden ? s[part](alone === s ? at : null) : null;
      element(s.id)
        .querySelector("." + part)
        .replaceChildren(...[made].flat().filter(Boolean));
    }
    if (alone && !s.always) element(s.id).querySelector(".view").replaceChildren(); // it shows something else from now on
  }
  const tabs = [{ id: "", title: "Overview" }, ...sections.filter((s) => !s.always && !s.apart)];
  show(
    element("nav"),
    tabs.map(({ id, title }) =>
      h(
        "a",
        { href: to(id ? [id] : []), key: id, "aria-current": (alone ? alone.id : "") === id ? "page" : undefined },
        title,
      ),
    ),
  );
  document.title = ["Once", ...at.parts].join(" / ");
  chooseCluster();
  update();
}

async function chooseCluster() {
  const all = await clusters().catch(() => []);
  const chosen = address().query.get("cluster") || "default";
  if (!all.some((c) => c.name === chosen)) all.push({ name: chosen });
  element("clusters").hidden = all.length < 2;
  show(
    element("cluster-name"),
    all.map((c) => h("option", { value: c.name, key: c.name }, c.name)),
  );
  element("cluster-name").value = chosen;
}

element("cluster-name").addEventListener("change", (event) => {
  location.hash = toCluster(event.target.value);
});
element("pause").addEventListener("click", () => {
  paused = !paused;
  element("pause").setAttribute("aria-pressed", String(paused));
  live(true);
  update();
});
element("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says what is shown
  element("main").focus();
});
whenDone(async () => {
  chooseCluster();
  await update();
});
let soon; // a section has news of its own, and is shown again
addEventListener("news", (event) => {
  if (!paused)
    soon ??= setTimeout(() => {
      soon = undefined;
      const s = sections.find((one) => one.id === event.detail);
      if (!element(s.id).hidden) refresh(s, round, new Set());
    }, 250);
});
addEventListener("hashchange", () => {
  navigate();
  scrollTo(0, 0);
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) update();
});
get(["requests"], { limit: 1 })
  .catch((problem) => {
    document.body.classList.toggle("readonly", problem instanceof Failure && problem.status === 404);
  })
  .then(navigate);
