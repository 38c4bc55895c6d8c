// The last requests of clients, filtered, and followed as they come.
import { address, chip, clockTime, duration, few, get, h, link, none, request, size, table, to, url } from "./page.js";

export const requests = { id: "requests", title: "Last requests", show: showRequests, filters, withoutLab: false };

const fields = { api: "API", transactionalId: "Transactional ID", topic: "Topic", group: "Group", client: "Client ID" };
const most = 2 * size; // that are shown

let stream; // {stop, entries} while they are followed

const chosen = (at) => Object.fromEntries(Object.keys(fields).map((name) => [name, at.query.get(name) || ""]));
const isFollowed = (at) => at.query.get("follow") === "true";

async function showRequests(at) {
  if (!at) return rows(await get(["requests"], { limit: few }), false);
  if (!isFollowed(at) || document.hidden) stop();
  if (!isFollowed(at)) return rows(await get(["requests"], { ...chosen(at), limit: most }), true);
  if (!stream) follow(at);
  return rows(stream.entries, true);
}

// rows shows entries, of which the newest one is the last.
function rows(all, whole) {
  if (!all.length)
    return [none(whole ? "No request that is remembered is like that." : "No client has asked for anything yet.")];
  return [
    table(
      "Last requests",
      ["Time", "Client", "Request", "About", "Answer", ["Took", "n"], "Fault"],
      all
        .slice()
        .reverse()
        .map((r) => ({
          key: String(r.id),
          class: r.fault ? "marked" : "",
          cells: [
            { of: clockTime(r.at).slice(11), class: "time" },
            r.clientId || r.client,
            `${r.api} v${r.version}`,
            about(r),
            answer(r),
            duration(r.took),
            r.fault && link(["faults"], r.fault, { id: r.fault }),
          ],
        })),
    ),
    whole
      ? h("p", { class: "pages" }, `${all.length} requests, the newest first`)
      : h("p", {}, link(["requests"], "More requests")),
  ];
}

function about(r) {
  const names = [...(r.transactionalIds || []), ...(r.groups || []), ...(r.topics || [])];
  return names.slice(0, 4).map(short).join(", ") + (names.length > 4 ? `, and ${names.length - 4} more` : "");
}

const short = (name) => (name.length > 80 ? name.slice(0, 80) + "…" : name);

const answer = (r) =>
  r.outcome !== "answered"
    ? chip(r.outcome, "aborted")
    : r.codes.every((c) => c === "NONE")
      ? h("span", { class: "soft" }, "ok")
      : chip(r.codes.filter((c) => c !== "NONE").join(", "), "open");

// follow reads the stream of server-sent events. It ends when the address changes, and is begun again when it breaks.
async function follow(at) {
  const own = { entries: [], controller: new AbortController() };
  const redraw = () => {
    if (stream === own) dispatchEvent(new CustomEvent("news", { detail: "requests" }));
  };
  stream = own;
  try {
    own.entries = await get(["requests"], { ...chosen(at), limit: most });
    const since = own.entries.length ? own.entries[own.entries.length - 1].id : "";
    redraw();
    const answer = await request("GET", url(["requests"], { ...chosen(at), follow: true, since }), {
      signal: own.controller.signal,
    });
    if (!answer.ok) throw new Error(answer.statusText);
    await read(answer.body.pipeThrough(new TextDecoderStream()).getReader(), (entry) => {
      own.entries = [...own.entries, entry].slice(-most);
      redraw();
    });
  } catch {
    // it has been stopped, or the broker is gone: the next update begins again
  }
  if (stream === own) stream = undefined;
}

async function read(reader, found) {
  for (let text = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const e of events) {
      const data = e.split("\n").find((line) => line.startsWith("data: "));
      if (data) found(JSON.parse(data.slice(6)));
    }
  }
}

function stop() {
  if (!stream) return;
  stream.controller.abort();
  stream = undefined;
}

addEventListener("hashchange", stop);

function filters(at) {
  if (!at) return null;
  const follow = h("input", { type: "checkbox", name: "follow", checked: isFollowed(at) });
  const form = h(
    "form",
    {
      class: "panel row",
      "aria-label": "Which requests",
      onsubmit: (event) => {
        event.preventDefault();
        go();
      },
    },
    Object.entries(fields).map(([name, text]) =>
      h(
        "label",
        { class: "field" },
        h("span", {}, text),
        h("input", {
          name,
          value: at.query.get(name) || "",
          autocomplete: "off",
          spellcheck: "false",
          placeholder: name === "api" ? "EndTxn" : "",
        }),
      ),
    ),
    h("label", { class: "check" }, follow, "follow"),
    h("button", {}, "Filter"),
  );
  const go = () => {
    const f = form.elements;
    location.hash = to(["requests"], {
      ...Object.fromEntries(Object.keys(fields).map((name) => [name, f[name].value])),
      follow: f.follow.checked ? "true" : "",
      cluster: address().query.get("cluster") || "",
    });
  };
  follow.addEventListener("change", go);
  return form;
}
