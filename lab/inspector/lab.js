// The calls of the lab.
import { address } from "./address.js";
import { askToken } from "./dialogs.js";

// Failure is an answer that is no success.
export class Failure extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const kept = "once.token"; // in sessionStorage: gone with the tab
let asking; // the dialog that asks for the token, while it is open
let refused = false; // the dialog was closed without a token: what only reads does not open it again

// url is the address of a call for the cluster that the page shows.
export function url(parts, query = {}) {
  const cluster = address().query.get("cluster");
  const prefix = cluster ? ["v1", "clusters", cluster] : ["v1"];
  const text = new URLSearchParams(
    Object.entries(query).filter(([, v]) => v !== "" && v !== undefined && v !== null),
  ).toString();
  return prefix.concat(parts).map(encodeURIComponent).join("/") + (text ? "?" + text : "");
}

// request makes a call. When the broker wants a token (lab.token), it is asked for, and kept while the tab is open.
export async function request(method, address, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(kept);
    const headers = { ...options.headers, ...(token && { Authorization: "Bearer " + token }) };
    const answer = await fetch(address, { method, cache: "no-store", ...options, headers });
    if (answer.status !== 401 || (method === "GET" && refused)) return answer;
    if (sessionStorage.getItem(kept) === token) {
      // else another call has got a new one
      asking ??= askToken(token !== null).finally(() => {
        asking = undefined;
      });
      const given = await asking;
      refused = given === null;
      if (refused) return answer;
      sessionStorage.setItem(kept, given);
    }
  }
}

// askAgain lets calls ask for the token again.
export function askAgain() {
  refused = false;
}

// hasToken says whether calls need more than their address.
export const hasToken = () => sessionStorage.getItem(kept) !== null;

// ask makes a call and returns its answer. A list that is a page of a longer one has its length as total.
export async function ask(method, parts, query = {}, body) {
  return answerOf(
    await request(
      method,
      url(parts, query),
      body === undefined
        ? {}
        : {
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify(body),
          },
    ),
  );
}

export async function answerOf(answer) {
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Failure(answer.status, said.detail || answer.statusText || `status ${answer.status}`);
  const total = answer.headers.get("X-Total-Count");
  if (Array.isArray(said)) said.total = total === null ? said.length : Number(total);
  return said;
}

export const get = (parts, query) => ask("GET", parts, query);

// clusters are those of the process.
export const clusters = async () => answerOf(await request("GET", "v1/clusters"));
