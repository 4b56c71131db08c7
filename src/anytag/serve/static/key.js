// The dialog that asks for the server's key.

import { byId } from "./dom.js";

/** -> the key, or null if none is given */
export function askKey(message) {
  const dialog = byId("key");
  const input = byId("key-value");
  byId("key-message").textContent = message || "Ask the person who runs it.";
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    byId("key-cancel").onclick = () => dialog.close("");
    dialog.addEventListener("close", () => {
      const key = input.value.trim();
      input.value = "";
      resolve(dialog.returnValue === "use" && key ? key : null);
    }, { once: true });
  });
}
