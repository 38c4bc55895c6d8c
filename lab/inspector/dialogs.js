// Questions that stand in the way until they are answered.
import { h } from "./dom.js";

// open shows a dialog with a form, and returns what it was closed with: "" when it was left.
function open(title, content, buttons) {
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "dialog-title" }, title),
      content,
      h("div", { class: "buttons" }, buttons),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
}

const cancel = () => h("button", { value: "", formNoValidate: true }, "Cancel");

// sure asks before something is lost. Cancel has the focus.
export async function sure(title, text, verb) {
  const stay = cancel();
  stay.autofocus = true;
  return (await open(title, h("p", {}, text), [stay, h("button", { value: "yes", class: "danger" }, verb)])) === "yes";
}

// askToken asks for the token of the broker; null when there is none.
export async function askToken(again) {
  const token = h("input", {
    type: "password",
    name: "token",
    required: true,
    autofocus: true,
    autocomplete: "off",
    pattern: "[A-Za-z0-9._~+\\/\\-]+=*",
    title: "letters, digits and -._~+/, with = only at its end",
  });
  const text = again
    ? "The broker does not accept this token."
    : "The broker wants the token that its setting lab.token has.";
  const said = await open(
    "Token",
    [h("p", {}, text), h("label", { class: "field" }, h("span", {}, "Token"), token)],
    [h("button", { value: "yes", class: "primary" }, "Use it"), cancel()],
  );
  return said === "yes" ? token.value : null;
}
