// The cluster as a whole: reset, restart, snapshots, and the other clusters of the process.
import {
  act,
  address,
  answerOf,
  button,
  bytes,
  chip,
  clockTime,
  clusters,
  duration,
  facts,
  field,
  get,
  h,
  link,
  many,
  none,
  options,
  table,
  toCluster,
  url,
  hasToken,
  request,
  Failure,
} from "./page.js";

export const cluster = { id: "cluster", title: "Cluster", show: showCluster, controls };

let recovered; // what the last restart has found

const chosen = () => address().query.get("cluster") || "default";

async function showCluster(at) {
  const [all, snapshots] = await Promise.all([clusters(), get(["snapshots"])]);
  const own = all.find((c) => c.name === chosen());
  if (!own)
    return [none(`There is no cluster ${chosen()}. `, h("a", { href: toCluster("default") }, "The default cluster"))];
  const about = facts([
    ["Name", own.name],
    ["Bootstrap server", own.bootstrap],
    ["Cluster ID", own.clusterId],
    ["Snapshots", String(snapshots.length)],
    ["Clusters", String(all.length)],
  ]);
  if (!at) return [about, h("p", { class: "changes" }, link(["cluster"], "Reset, restart, snapshots"))];
  return [
    about,
    recovered && recovery(recovered),
    h("h3", {}, "Snapshots"),
    snapshotTable(snapshots),
    h("h3", {}, "Clusters"),
    clusterTable(all),
  ];
}

const recovery = (r) =>
  facts([
    ["The restart took", duration(r.took)],
    ["Bytes truncated", bytes(r.truncatedBytes)],
    ["Transactions completed", r.transactionsCompleted.join(", ") || "none"],
  ]);

function snapshotTable(all) {
  if (all.length === 0) return none("There is no snapshot.");
  return table(
    "Snapshots",
    ["Name", "Taken", "Clock", ["Size", "n"], "Action"],
    all.map((s) => ({
      key: s.name,
      cells: [
        s.name,
        { of: clockTime(s.taken), class: "time" },
        { of: clockTime(s.clock), class: "time" },
        bytes(s.sizeBytes),
        h(
          "span",
          { class: "buttons" },
          button("Restore", "Restore snapshot " + s.name, "POST", ["snapshots", s.name, "restore"], undefined, {
            sure: "What the cluster holds now is lost: it goes back to the snapshot. Members of groups are gone.",
            verb: "Restore",
            said: (answer) => `done in ${duration(answer.took)}.`,
          }),
          button("Drop", "Drop snapshot " + s.name, "DELETE", ["snapshots", s.name], undefined, {
            sure: "The snapshot is deleted.",
            verb: "Drop it",
          }),
          download(s.name),
        ),
      ],
    })),
  );
}

// download is a link to the archive. A link cannot carry a token: with one the archive is fetched first.
function download(name) {
  const at = url(["snapshots", name, "archive"]);
  const file = name + ".tar.zst";
  const label = "Download the archive of " + name;
  if (!hasToken())
    return h("a", { href: at, download: file, "aria-label": label, key: label, class: "button" }, "Download");
  return h(
    "button",
    {
      type: "button",
      key: label,
      "aria-label": label,
      onclick: () =>
        act(label, "", [], undefined, {
          call: async () => {
            const answer = await request("GET", at);
            if (!answer.ok) throw new Failure(answer.status, answer.statusText);
            const place = URL.createObjectURL(await answer.blob());
            h("a", { href: place, download: file }).click();
            setTimeout(() => URL.revokeObjectURL(place), 60000);
            return {};
          },
        }),
    },
    "Download",
  );
}

const clusterTable = (all) =>
  table(
    "Clusters",
    ["Name", "Bootstrap server", "Cluster ID", "Action"],
    all.map((c) => ({
      key: c.name,
      cells: [
        c.name === chosen() ? [c.name, " ", chip("this page")] : h("a", { href: toCluster(c.name) }, c.name),
        c.bootstrap,
        { of: c.clusterId, class: "id" },
        c.name !== "default" &&
          c.name !== chosen() &&
          button("End", "End cluster " + c.name, "DELETE", [], undefined, {
            sure: "The cluster and its records are deleted, and its clients are disconnected.",
            verb: "End it",
            call: () => ofProcess("DELETE", ["clusters", c.name]),
          }),
      ],
    })),
  );

// ofProcess makes a call that is not about the cluster of the page.
async function ofProcess(method, parts, body) {
  return answerOf(
    await request(
      method,
      ["v1"].concat(parts).map(encodeURIComponent).join("/"),
      body === undefined
        ? {}
        : {
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify(body),
          },
    ),
  );
}

function controls(at) {
  return (
    at &&
    h("div", { class: "changes panels" }, resetting(), restarting(), reloading(), keeping(), uploading(), making())
  );
}

const panel = (title, text, submit, ...content) => {
  const id = "panel-" + title.split(" ")[0].toLowerCase();
  return h(
    "form",
    {
      class: "panel",
      "aria-labelledby": id,
      onsubmit: (event) => {
        event.preventDefault();
        submit(event.target.elements);
      },
    },
    h("h3", { id }, title),
    h("p", { class: "soft" }, text),
    content,
  );
};

const check = (name, text) => h("label", { class: "check" }, h("input", { type: "checkbox", name }), text);

const resetting = () =>
  panel(
    "Reset",
    "The cluster becomes as new: topics, records, groups, transactions, faults and the clock.",
    (f) =>
      act(
        "Reset the cluster",
        "POST",
        ["reset"],
        { ...(f.keep.checked && { keep: ["topics"] }), disconnect: f.disconnect.checked },
        {
          sure: f.keep.checked
            ? "All records, groups, transactions and faults are lost. Topics stay, empty."
            : "All topics, records, groups, transactions and faults are lost.",
          verb: "Reset it",
          said: (answer) => `done in ${duration(answer.took)}.`,
        },
      ),
    check("keep", "keep topics, empty"),
    check("disconnect", "close the connections of clients"),
    h("button", { class: "danger" }, "Reset the cluster"),
  );

const ends = { clean: "cleanly", kill: "as by kill -9", powerCut: "as by a power cut" };

const restarting = () =>
  panel(
    "Restart",
    "The cluster ends as said, and opens again from its files. Connections are closed.",
    (f) =>
      act(
        `Restart ${ends[f.how.value]}`,
        "POST",
        ["restart"],
        { how: f.how.value, downFor: f.downFor.value },
        {
          sure: f.how.value === "powerCut" ? "Records that the durability mode does not promise are lost." : undefined,
          verb: "Restart it",
          said: (answer) => {
            recovered = answer;
            return `done in ${duration(answer.took)}, ${bytes(answer.truncatedBytes)} truncated.`;
          },
        },
      ),
    field("It ends", h("select", { name: "how" }, options(Object.entries(ends)))),
    field("Down for", h("input", { name: "downFor", value: "0s", size: 6, required: true, autocomplete: "off" })),
    h("button", {}, "Restart the cluster"),
  );

const reloading = () =>
  panel(
    "Coordinators",
    "They drop what they know and read their logs again, as when they move to another broker.",
    () =>
      act("Reload the coordinators", "POST", ["coordinators", "reload"], undefined, {
        said: (r) =>
          `${many(r.transactionalIds, "transactional ID")} and ${many(r.groups, "group")} in ${duration(r.took)}.`,
      }),
    h("button", {}, "Reload the coordinators"),
  );

const keeping = () =>
  panel(
    "Snapshot",
    "The state of all partitions at one instant is kept under a name.",
    (f) =>
      act("Take snapshot " + f.name.value, "PUT", ["snapshots", f.name.value], undefined, {
        said: (s) => `${bytes(s.sizeBytes)} in ${duration(s.took)}.`,
      }),
    field("Name", h("input", { name: "name", required: true, autocomplete: "off", placeholder: "before" })),
    h("button", {}, "Take a snapshot"),
  );

const uploading = () =>
  panel(
    "Archive",
    "The archive of a snapshot becomes a snapshot of this cluster.",
    (f) =>
      act("Upload snapshot " + f.name.value, "", [], undefined, {
        said: (s) => bytes(s.sizeBytes) + ".",
        call: async () =>
          answerOf(
            await request("PUT", url(["snapshots", f.name.value, "archive"]), {
              body: f.file.files[0],
              headers: { "Content-Type": "application/zstd" },
            }),
          ),
      }),
    field("File", h("input", { name: "file", type: "file", required: true, accept: ".zst" })),
    field("Name", h("input", { name: "name", required: true, autocomplete: "off" })),
    h("button", {}, "Upload the archive"),
  );

const making = () =>
  panel(
    "New cluster",
    "A cluster of its own in this process, on a port of its own.",
    (f) =>
      act("Make cluster " + f.name.value, "POST", [], undefined, {
        said: (c) => `its bootstrap server is ${c.bootstrap}.`,
        call: () =>
          ofProcess("POST", ["clusters"], { name: f.name.value, ...(f.from.value && { from: f.from.value }) }),
      }),
    field("Name", h("input", { name: "name", required: true, autocomplete: "off", placeholder: "test-7" })),
    field("From snapshot", h("input", { name: "from", autocomplete: "off", placeholder: "none: empty" })),
    h("button", {}, "Make a cluster"),
  );
