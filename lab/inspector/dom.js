// Elements, and how shown ones are brought up to date. Nothing here or in the views writes HTML: names and values come
// from clients and become text only.

const attributes = new Set(["role", "scope", "for", "list", "spellcheck"]);

// h makes an element. Properties with a dash and those above are attributes; key says which element is the same one
// after an update, and style has properties of its own. What is undefined, false or "" is left out.
export function h(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false || value === "") continue;
    if (key === "key") element.dataset.key = value;
    else if (key === "class") element.className = value;
    else if (key === "style") for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
    else if (key.includes("-") || attributes.has(key)) element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...nodes(children));
  return element;
}

// nodes flattens what stands in an element, and leaves out what is not to be shown.
export function nodes(children) {
  return [children]
    .flat(9)
    .filter((c) => c !== null && c !== undefined && c !== false && c !== "")
    .map((c) => (c instanceof Node ? c : document.createTextNode(String(c))));
}

// show makes an element have these children. What stays the same stays as it is, with its focus, selection and scroll
// position.
export function show(element, children) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const key = focused && focused.dataset.key;
  patchChildren(element, nodes(children));
  if (!key || element.contains(focused)) return;
  const again = [...element.querySelectorAll("[data-key]")].find((e) => e.dataset.key === key);
  if (again) again.focus({ preventScroll: true });
}

function patchChildren(old, wanted) {
  const present = [...old.childNodes];
  wanted.forEach((next, i) => {
    const now = present[i];
    if (!now) old.append(next);
    else if (!isSame(now, next)) now.replaceWith(next);
    else if (now.nodeType === Node.TEXT_NODE) {
      if (now.data !== next.data) now.data = next.data;
    } else patch(now, next);
  });
  for (const extra of present.slice(wanted.length)) extra.remove();
}

const isSame = (a, b) => a.nodeName === b.nodeName && (a.dataset || {}).key === (b.dataset || {}).key;

function patch(now, next) {
  for (const { name, value } of next.attributes) {
    if (name !== "style" && now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  for (const name of now.getAttributeNames()) {
    if (name !== "style" && name !== "open" && !next.hasAttribute(name)) now.removeAttribute(name);
  }
  if (now.style.cssText !== next.style.cssText) now.style.cssText = next.style.cssText;
  now.onclick = next.onclick;
  now.ontoggle = next.ontoggle;
  patchChildren(now, [...next.childNodes]);
}

// table makes a table. A head is a text, or [text, class] for all cells of its column. A row is a list of cells, or
// {id, class, cells}; a cell is what stands in it, or {of, class}.
export function table(caption, heads, rows) {
  const columns = heads.map((head) => [head].flat());
  const cell = (value, i) => {
    const { of, class: kind } = value && value.of !== undefined ? value : { of: value };
    const [label, column] = columns[i];
    return h("td", { class: [column, kind].filter(Boolean).join(" "), "data-label": label }, of);
  };
  return h(
    "div",
    { class: "scroll", tabIndex: 0, role: "group", "aria-label": caption, key: "table " + caption },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map(([label, kind]) => h("th", { scope: "col", class: kind }, label)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            { id: row.id, key: row.key, class: row.class, tabIndex: row.id ? -1 : undefined },
            (row.cells || row).map(cell),
          ),
        ),
      ),
    ),
  );
}

export const none = (...text) => h("p", { class: "none" }, ...text);

// facts makes a list of names and values; those without a value are left out.
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => nodes(value).length > 0)
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

// chip is a short word about a state; kind chooses its colour.
export const chip = (text, kind) => h("span", { class: "chip " + (kind || "") }, text);

// field is an input with its label.
export const field = (label, input, kind) =>
  h("label", { class: "field " + (kind || "") }, h("span", {}, label), input);

export const options = (all, chosen) =>
  all.map(([value, text]) => h("option", { value, selected: value === chosen }, text || value));
