// What views are made of.
export * from "./dom.js";
export * from "./address.js";
export * from "./text.js";
export { answerOf, ask, askAgain, clusters, Failure, get, hasToken, request, url } from "./lab.js";
export { act, button, say } from "./actions.js";

export const few = 8; // rows of a section on the overview
export const size = 50; // rows of a page
