// One photo in the gallery. What is costly, its picture and its tags, is there only near the screen.

import { icon, make } from "./dom.js";
import { thumbnail } from "./thumbs.js";

const NUM_ROWS = 4;
const STATES = { waiting: "waiting", working: "being tagged" };

/** A tag with its score as a bar behind it; screen readers also hear what a click does. */
export function tagRow(tag, action) {
  const row = make("button", { type: "button", className: "tag", tabIndex: -1 },
    make("span", { className: "tag-name", textContent: tag.name }),
    " ",
    make("span", { className: "tag-score", textContent: tag.score.toFixed(2) }),
    make("span", { className: "unseen", textContent: `, ${action}` }));
  row.style.setProperty("--score", tag.score);
  row.dataset.tag = tag.name;
  row.classList.toggle("own", tag.own);
  return row;
}

function describe(photo) {
  const name = photo.path.split("/").at(-1);
  if (photo.state === "failed") return `${name}: ${photo.error.message}`;
  if (!photo.shown.length) return `${name}: ${STATES[photo.state] ?? "no tags"}`;
  const tags = photo.shown.slice(0, NUM_ROWS).map((tag) => `${tag.name} ${tag.score.toFixed(2)}`);
  return `${name}: ${tags.join(", ")}`;
}

export class Card {
  #open = make("button", { type: "button", className: "card-open", tabIndex: -1 });
  #tags = make("div", { className: "card-tags" });
  #more = make("span", { className: "card-more" });
  #filled = false;

  constructor(photo) {
    this.photo = photo;
    const name = photo.path.split("/").at(-1);
    const remove = make("button", { type: "button", className: "button quiet round card-remove", tabIndex: -1, "aria-label": `Remove ${name}` }, icon("close"));
    this.element = make("li", { className: "card" }, this.#open, remove,
      make("div", { className: "card-foot" }, make("span", { className: "card-name", textContent: name, title: photo.path }), this.#more),
      this.#tags);
    this.element.dataset.id = photo.id;
    this.update();
  }

  focus() {
    this.#open.focus();
  }

  /** The one card whose buttons are in the tab order. */
  set current(value) {
    for (const button of this.element.querySelectorAll("button")) button.tabIndex = value ? 0 : -1;
    this.element.classList.toggle("current", value);
  }

  /** Near the screen, or far from it. */
  set near(value) {
    if (value === this.#filled) return;
    this.#filled = value;
    if (value) this.#showPicture();
    else this.#open.replaceChildren();
    this.update();
  }

  update() {
    const { photo } = this;
    this.element.dataset.state = photo.state;
    this.#open.setAttribute("aria-label", describe(photo));
    const rest = photo.shown.length - NUM_ROWS;
    this.#more.textContent = rest > 0 ? `+${rest}` : "";
    if (!this.#filled) {
      this.#tags.replaceChildren();
      return;
    }
    const focused = document.activeElement?.dataset.tag;
    const hadFocus = this.#tags.contains(document.activeElement);
    this.#tags.replaceChildren(...this.#content());
    const current = this.element.classList.contains("current");
    for (const row of this.#tags.querySelectorAll("button")) {
      row.tabIndex = current ? 0 : -1;
      if (hadFocus && row.dataset.tag === focused) row.focus();
    }
    if (hadFocus && !this.#tags.contains(document.activeElement)) this.focus();
  }

  #content() {
    const { state, shown, error } = this.photo;
    if (state === "failed") return [make("p", { className: "card-error", textContent: error.message, title: error.message })];
    if (shown.length) return shown.slice(0, NUM_ROWS).map((tag) => tagRow(tag, "show photos with this tag"));
    if (state === "done") return [make("p", { className: "note", textContent: "No tag reaches the threshold." })];
    return [1, 2, 3].map(() => make("div", { className: "tag skeleton" }));
  }

  async #showPicture() {
    const url = await thumbnail(this.photo);
    if (!this.#filled) return;
    const ending = this.photo.path.split(".").at(-1).slice(0, 5).toUpperCase();
    this.#open.replaceChildren(url
      ? make("img", { src: url, alt: "", draggable: false })
      : make("span", { className: "card-blank", textContent: ending }));
  }
}
