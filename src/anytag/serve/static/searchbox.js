// The search box with proposals of tags and how many photos have them (an ARIA combobox).

import { byId, make } from "./dom.js";
import { complete, suggest } from "./search.js";

const LIMIT = 8;

/**
 * @param store its query follows the box and the box its query
 * @param counts () -> [{ name, count, own }] of all photos
 */
export function searchBox(store, counts) {
  const input = byId("search");
  const list = byId("suggestions");
  let active = -1;

  const mark = (place) => {
    active = place;
    [...list.children].forEach((option, number) => option.setAttribute("aria-selected", String(number === place)));
    if (place >= 0) {
      input.setAttribute("aria-activedescendant", list.children[place].id);
      list.children[place].scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  };

  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    mark(-1);
  };

  const open = () => {
    const found = suggest(counts(), input.value, LIMIT);
    list.replaceChildren(...found.map(({ name, count }, number) => {
      const option = make("li", { id: `suggestion-${number}`, role: "option" },
        make("span", { textContent: name }), make("span", { className: "number", textContent: count.toLocaleString("en") }));
      option.dataset.tag = name;
      return option;
    }));
    list.hidden = !found.length;
    input.setAttribute("aria-expanded", String(found.length > 0));
    mark(-1);
  };

  const take = (name) => {
    input.value = complete(input.value, name);
    store.search(input.value);
    close();
  };

  input.addEventListener("input", () => {
    store.search(input.value);
    open();
  });
  input.addEventListener("focus", open);
  input.addEventListener("click", () => list.hidden && open());
  input.addEventListener("blur", close);
  // Before the blur, which would close the list under the pointer.
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    const option = event.target.closest("li");
    if (option) take(option.dataset.tag);
  });
  input.addEventListener("keydown", (event) => {
    const number = list.hidden ? 0 : list.children.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) open();
      else mark((active + (event.key === "ArrowDown" ? 1 : active < 0 ? 0 : -1) + number) % number);
    } else if (event.key === "Enter" && active >= 0) take(list.children[active].dataset.tag);
    else if (event.key === "Enter") close();
    else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault(); // the first Escape closes the list, the second empties the box
      close();
    }
  });
  store.addEventListener("query", ({ detail }) => {
    if (input.value !== detail) input.value = detail;
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=range]), select, textarea, dialog");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.focus();
    input.select();
  });
}
