// What views are made of: elements, tables, addresses, and calls of the lab. Nothing here or in the views writes HTML:
// names and values come from clients and become text only.

// h makes an element. Properties are set as such, those with a dash or named role, scope, list as attributes.
export function h(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (value === undefined || value === "") continue;
    if (key.includes("-") || key === "role" || key === "scope") element.setAttribute(key, value);
    else if (key === "key") element.dataset.key = value;
    else if (key === "class") element.className = value;
    else element[key] = value;
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false).map((c) => (c instanceof Node ? c : String(c))));
  return element;
}

// table makes a table. A cell is a value, a node, a list of them, or {of, class}.
export function table(caption, heads, rows, wide = true) {
  const cell = (value, i) => {
    const { of, class: kind } = value && value.of !== undefined ? value : { of: value, class: "" };
    const inside = [of].flat();
    const number = typeof of === "number" ? "n" : "";
    return h("td", { class: [kind, number].filter(Boolean).join(" "), "data-label": heads[i] }, ...inside);
  };
  return h("div", { class: "scroll", tabIndex: 0, role: "group", "aria-label": caption, key: "scroll " + caption },
    h("table", { class: wide ? "wide" : "" },
      h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map((row) => h("tr", { id: row.id, class: row.class, tabIndex: row.id ? -1 : undefined },
        (row.cells || row).map(cell))))));
}

export const none = (text) => h("p", { class: "none" }, text);

// address takes #/topics/orders/0?offset=200 apart.
export function address() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map((part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  });
  return { parts, query: new URLSearchParams(query || "") };
}

// to makes the address of a view. The cluster stays the same.
export function to(parts, query = {}) {
  const all = new URLSearchParams(query);
  const cluster = address().query.get("cluster");
  if (cluster && !all.has("cluster")) all.set("cluster", cluster);
  const text = all.toString();
  return "#/" + parts.map(encodeURIComponent).join("/") + (text ? "?" + text : "");
}

export const link = (parts, text, query) => h("a", { href: to(parts, query), key: to(parts, query) }, text);

// pages makes the links of a list that is shown in pages.
export function pages(parts, shown, size, nameOf) {
  const after = address().query.get("after");
  const links = [];
  if (after) links.push(link(parts, "First page"));
  if (shown.length > size) links.push(link(parts, "Next page", { after: nameOf(shown[size - 1]) }));
  return links.length ? h("div", { class: "pages" }, links) : null;
}

// Failure is an answer that is no success.
export class Failure extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// ask calls the lab.
export async function ask(method, parts, query = {}, body) {
  const cluster = address().query.get("cluster");
  const prefix = cluster ? ["v1", "clusters", cluster] : ["v1"];
  const text = new URLSearchParams(query).toString();
  const answer = await fetch(prefix.concat(parts).map(encodeURIComponent).join("/") + (text ? "?" + text : ""), {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Failure(answer.status, said.detail || answer.statusText);
  return said;
}

export const get = (parts, query) => ask("GET", parts, query);

// duration shortens Go's durations for people: 41.237s is 41 s.
export function duration(text) {
  const units = { h: 3600, m: 60, s: 1, ms: 1e-3, "µs": 1e-6, ns: 1e-9 };
  let seconds = 0;
  for (const [, n, unit] of String(text).matchAll(/([\d.]+)(h|ms|m|s|µs|ns)/g)) seconds += Number(n) * units[unit];
  const sign = String(text).startsWith("-") ? "-" : "";
  if (seconds >= 3600) return `${sign}${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  if (seconds >= 60) return `${sign}${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds >= 1 || seconds === 0) return `${sign}${Math.floor(seconds)} s`;
  return `${sign}${Math.max(1, Math.round(seconds * 1000))} ms`;
}

export const clockTime = (text) => String(text).replace("T", " ").replace(/(\.\d{3})\d*Z?$|Z$/, "$1");

const longest = 500;

// shown is a key or value as text.
export function shown(value) {
  if (value === null || value === undefined) return h("i", {}, "null");
  const text = typeof value === "object" ? "base64 " + value.base64 : String(value);
  return text.length > longest ? text.slice(0, longest) + "…" : text;
}
