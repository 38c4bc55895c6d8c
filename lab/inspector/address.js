// The address of the page says what it shows: #/topics/orders/0?offset=200&cluster=two.
import { h } from "./dom.js";

// address takes the address apart.
export function address() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path
    .split("/")
    .filter(Boolean)
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
  return { parts, query: new URLSearchParams(query || "") };
}

// to makes the address of a view. Empty values are left out, and the cluster stays the same.
export function to(parts, query = {}) {
  return at(parts, { cluster: address().query.get("cluster") || "", ...query });
}

function at(parts, query) {
  const text = new URLSearchParams(
    Object.entries(query).filter(([, v]) => v !== "" && v !== undefined && v !== null),
  ).toString();
  return "#/" + parts.map(encodeURIComponent).join("/") + (text ? "?" + text : "");
}

// toCluster is the address of the overview of a cluster.
export const toCluster = (name) => at([], { cluster: name === "default" ? "" : name });

export const link = (parts, text, query) => h("a", { href: to(parts, query), key: to(parts, query) }, text);

// partitionLink is a link to a partition, from an offset on.
export const partitionLink = (p, offset) =>
  link(["topics", p.topic, p.partition], `${p.topic}-${p.partition}`, { offset });

// pages makes the links between the pages of a list that goes on behind a name.
export function pages(parts, query, all, size, nameOf) {
  const shown = Math.min(size, all.length);
  const links = [];
  if (query.after) links.push(link(parts, "First page", { ...query, after: "" }));
  if (all.length > size) links.push(link(parts, "Next page", { ...query, after: nameOf(all[size - 1]) }));
  const text = all.total > shown ? `${shown} of ${all.total.toLocaleString("en")}` : "";
  return links.length || text ? h("p", { class: "pages" }, text && h("span", {}, text), links) : null;
}

// filter makes the form that filters a list by name.
export function filter(parts, at, what) {
  const name = h("input", {
    name: "name",
    type: "search",
    value: at.query.get("name") || "",
    placeholder: "orders-*",
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": `Name of ${what}, * stands for any text`,
  });
  return h(
    "form",
    {
      class: "filter",
      onsubmit: (event) => {
        event.preventDefault();
        const query = Object.fromEntries(at.query);
        location.hash = to(parts, { ...query, after: "", name: name.value });
      },
    },
    name,
    h("button", {}, "Filter"),
  );
}
