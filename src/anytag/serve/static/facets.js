// The tags of the photos that are seen, with how many have them; a click searches for one.

import { byId, make } from "./dom.js";
import { parseQuery, toggleTag } from "./search.js";
import { plain } from "./shown.js";

const MOST = 10;

export class Facets {
  #section = byId("facets-section");
  #list = byId("facets");
  #rows = new Map(); // tag -> its button

  constructor(store) {
    this.#list.addEventListener("click", ({ target }) => {
      const button = target.closest("button");
      if (button) store.search(toggleTag(store.query, button.dataset.tag));
    });
  }

  /**
   * @param counts [{ name, count, own }], most first
   * @param query of the search box
   */
  show(counts, query) {
    const chosen = new Set(parseQuery(query).filter((term) => term.exact).map((term) => term.text));
    const isChosen = ({ name }) => chosen.has(plain(name));
    const seen = [...counts.filter(isChosen), ...counts.filter((tag) => !isChosen(tag))].slice(0, MOST);
    const most = Math.max(...counts.map((tag) => tag.count), 1);
    // Buttons are kept, so that the focus stays where it is.
    const rows = new Map(seen.map((tag) => [tag.name, this.#rows.get(tag.name) ?? this.#build(tag)]));
    for (const tag of seen) {
      const button = rows.get(tag.name);
      button.setAttribute("aria-pressed", String(isChosen(tag)));
      button.classList.toggle("own", tag.own);
      button.style.setProperty("--score", tag.count / most);
      button.lastElementChild.textContent = tag.count.toLocaleString("en");
    }
    this.#rows = rows;
    const items = [...rows.values()].map((button) => button.parentElement);
    const focused = document.activeElement;
    if (items.some((item, place) => this.#list.children[place] !== item) || this.#list.children.length !== items.length) {
      this.#list.replaceChildren(...items);
      if (items.some((item) => item.contains(focused))) focused.focus();
    }
    this.#section.hidden = !seen.length;
  }

  #build(tag) {
    const button = make("button", { type: "button", className: "tag" },
      make("span", { className: "tag-name", textContent: tag.name }), make("span", { className: "tag-score" }));
    button.dataset.tag = tag.name;
    make("li", {}, button);
    return button;
  }
}
