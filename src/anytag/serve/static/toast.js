// Short messages at the edge of the screen. Errors of the same kind are gathered in one message.

import { icon, make, messages } from "./dom.js";

const SECONDS = { info: 8, action: 20, error: 20 };
const MOST_LINES = 5;

function leave(toast) {
  toast.dispatchEvent(new Event("leave"));
  toast.remove();
}

/** Time runs while nobody reads it: not under the pointer, and not while it has the focus. */
function expire(toast, seconds) {
  let timer = 0;
  const start = () => {
    clearTimeout(timer);
    timer = setTimeout(() => leave(toast), seconds * 1000);
  };
  for (const type of ["pointerenter", "focusin"]) toast.addEventListener(type, () => clearTimeout(timer));
  for (const type of ["pointerleave", "focusout"]) toast.addEventListener(type, start);
  toast.addEventListener("leave", () => clearTimeout(timer));
  toast.addEventListener("renew", start);
  start();
}

function build(kind, ...content) {
  const close = make("button", { type: "button", className: "button quiet round", "aria-label": "Close this message" }, icon("close"));
  const body = make("div", { className: "toast-body" }, ...content);
  const toast = make("div", { className: `toast ${kind}`, role: kind === "error" ? "alert" : "status" }, body, close);
  close.addEventListener("click", () => leave(toast));
  messages().querySelector("#toasts").append(toast);
  expire(toast, SECONDS[toast.querySelector(".toast-body button") ? "action" : kind]);
  return toast;
}

/** A message, maybe with something to do: { label, act }. */
export function inform(text, action) {
  const content = [make("p", { textContent: text })];
  if (action) {
    const button = make("button", { type: "button", className: "button small", textContent: action.label });
    content.push(button);
    button.addEventListener("click", () => {
      leave(button.closest(".toast"));
      action.act();
    });
  }
  return build("info", ...content);
}

/** An error. */
export function complain(title, text) {
  return build("error", make("p", { className: "toast-title", textContent: title }), make("p", { textContent: text }));
}

let gathered = null; // { toast, title, list, number }

/** A file that failed; several soon after one another share one message. */
export function complainOfFile(name, message) {
  if (!gathered?.toast.isConnected) {
    const title = make("p", { className: "toast-title" });
    const list = make("ul");
    gathered = { toast: build("error", title, list), title, list, number: 0 };
  }
  gathered.number += 1;
  gathered.title.textContent = gathered.number === 1 ? "A file could not be tagged" : `${gathered.number} files could not be tagged`;
  gathered.list.append(make("li", {}, make("strong", { textContent: `${name}:` }), ` ${message}`));
  while (gathered.list.children.length > MOST_LINES) gathered.list.firstElementChild.remove();
  gathered.toast.dispatchEvent(new Event("renew"));
}
