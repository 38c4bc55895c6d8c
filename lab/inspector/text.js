// How numbers, times and values are written.
import { h } from "./dom.js";

// seconds reads Go's durations: 1m41.237s.
export function seconds(text) {
  const units = { h: 3600, m: 60, s: 1, ms: 1e-3, µs: 1e-6, ns: 1e-9 };
  let sum = 0;
  for (const [, n, unit] of String(text).matchAll(/([\d.]+)(h|ms|m|s|µs|ns)/g)) sum += Number(n) * units[unit];
  return String(text).startsWith("-") ? -sum : sum;
}

// duration writes them for people: 1 min 41 s.
export function duration(text) {
  const all = seconds(text);
  const s = Math.abs(all);
  const sign = all < 0 ? "-" : "";
  const parts = (...all) => sign + all.map(([n, unit]) => `${Math.floor(n)}\u00a0${unit}`).join("\u00a0");
  if (s >= 86400) return parts([s / 86400, "d"], [(s % 86400) / 3600, "h"]);
  if (s >= 3600) return parts([s / 3600, "h"], [(s % 3600) / 60, "min"]);
  if (s >= 60) return parts([s / 60, "min"], [s % 60, "s"]);
  if (s >= 1 || s === 0) return parts([s, "s"]);
  return s < 0.001 ? parts([Math.max(1, Math.round(s * 1e6)), "µs"]) : parts([Math.round(s * 1000), "ms"]);
}

// clockTime writes a time of the broker, which is in UTC.
export const clockTime = (text) => {
  const [, date, time, fraction] = /^([\d-]+)T([\d:]+)\.?(\d*)/.exec(text) || [null, text, "", ""];
  return `${date} ${time}.${fraction.slice(0, 3).padEnd(3, "0")}`;
};

export const count = (n) => Number(n).toLocaleString("en");

// many is a number with its noun: 1 record, 2 records.
export const many = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${i === 0 ? n : n.toFixed(1)} ${units[i]}`;
}

export const cutAt = 300; // bytes of a key or a value that are fetched and shown

// shown is a key or value as text. length is that of the whole when it is cut.
export function shown(value, length) {
  if (value === null || value === undefined) return h("i", { class: "soft" }, "null");
  const text = typeof value === "object" ? value.base64 : String(value);
  return [
    typeof value === "object" && h("i", { class: "soft" }, "base64 "),
    h("bdi", {}, text),
    length && h("i", { class: "soft" }, ` … of ${count(length)} bytes`),
    text === "" && h("i", { class: "soft" }, "empty"),
  ];
}
