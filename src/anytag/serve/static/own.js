// The box for tags of one's own: Enter or a comma adds, a chip's button removes.

import { announce, byId, icon, make } from "./dom.js";
import { plain } from "./shown.js";

/** "red panda, Forklift" -> ["red panda", "Forklift"], without those that are there already. */
export function newNames(text, present) {
  const taken = new Set(present.map(plain));
  const names = [];
  for (const part of text.split(/[,;\n]/)) {
    const name = part.replace(/[_\s]+/g, " ").trim();
    if (!name || taken.has(plain(name))) continue;
    taken.add(plain(name));
    names.push(name);
  }
  return names;
}

export function ownTags(store) {
  const input = byId("own");
  const chips = byId("own-chips");

  const add = (text) => {
    const present = store.settings.ownTags;
    const names = newNames(text, present);
    if (!names.length) return;
    store.set({ ownTags: [...present, ...names] });
    announce(`Added ${names.join(", ")}`);
  };

  const remove = (name) => {
    const place = store.settings.ownTags.indexOf(name);
    store.set({ ownTags: store.settings.ownTags.filter((other) => other !== name) });
    announce(`Removed ${name}`);
    (chips.querySelectorAll("button")[Math.max(0, place - 1)] ?? input).focus();
  };

  const show = () => {
    chips.replaceChildren(...store.settings.ownTags.map((name) => {
      const button = make("button", { type: "button", className: "chip", "aria-label": `Remove ${name}` },
        make("span", { textContent: name }), icon("close"));
      button.addEventListener("click", () => remove(name));
      return make("li", {}, button);
    }));
    chips.hidden = !store.settings.ownTags.length;
  };

  byId("own-form").addEventListener("submit", (event) => {
    event.preventDefault();
    add(input.value);
    input.value = "";
  });
  input.addEventListener("input", () => {
    const last = input.value.search(/[,;\n][^,;\n]*$/);
    if (last < 0) return;
    add(input.value.slice(0, last));
    input.value = input.value.slice(last + 1).trimStart();
  });
  input.addEventListener("keydown", (event) => {
    const last = store.settings.ownTags.at(-1);
    if (event.key === "Backspace" && !input.value && last) {
      remove(last);
      input.focus();
    }
  });
  store.addEventListener("settings", ({ detail }) => detail.includes("ownTags") && show());
  show();
}
