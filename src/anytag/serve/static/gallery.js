// The photos as a grid of cards. One card is current: Tab reaches it, arrow keys move to others.

import { Card } from "./card.js";
import { forget } from "./thumbs.js";

/** Events: "open" with a photo, "tag" with a name, "remove" with a photo. */
export class Gallery extends EventTarget {
  #list;
  #cards = new Map(); // photo id -> Card
  #visible = [];
  #current = null;
  #observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const card = this.#cards.get(Number(target.dataset.id));
      if (card) card.near = isIntersecting;
    }
  }, { rootMargin: "600px 0px" });

  constructor(list) {
    super();
    this.#list = list;
    list.addEventListener("click", (event) => this.#click(event));
    list.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("focusin", (event) => this.#setCurrent(this.#cardOf(event.target)));
  }

  add(photos) {
    for (const photo of photos) {
      const card = new Card(photo);
      this.#cards.set(photo.id, card);
      let before = this.#list.lastElementChild; // photos that come back go to their old place
      while (before && Number(before.dataset.id) > photo.id) before = before.previousElementSibling;
      if (before) before.after(card.element);
      else this.#list.prepend(card.element);
      this.#observer.observe(card.element);
    }
  }

  remove(photos) {
    for (const photo of photos) {
      const card = this.#cards.get(photo.id);
      this.#observer.unobserve(card.element);
      card.near = false; // its picture's address ends now
      card.element.remove();
      this.#cards.delete(photo.id);
      forget(photo.id);
    }
  }

  update(photo) {
    this.#cards.get(photo.id)?.update();
  }

  /** The photos that the search leaves, in order. */
  show(photos) {
    const ids = new Set(photos.map((photo) => photo.id));
    this.#visible = photos;
    for (const [id, { element }] of this.#cards) element.hidden = !ids.has(id);
    if (!this.#current || !ids.has(this.#current.photo.id)) {
      this.#setCurrent(this.#cards.get(photos[0]?.id) ?? null);
    }
  }

  focus(photo) {
    const card = this.#cards.get(photo?.id) ?? this.#current;
    card?.focus();
    card?.element.scrollIntoView({ block: "nearest" });
  }

  /** The visible photo some places further, or null. */
  neighbour(photo, step) {
    const place = this.#visible.indexOf(photo);
    return (place >= 0 && this.#visible[place + step]) || null;
  }

  #cardOf(element) {
    return this.#cards.get(Number(element.closest(".card")?.dataset.id)) ?? null;
  }

  #setCurrent(card) {
    if (card === this.#current) return;
    if (this.#current) this.#current.current = false;
    this.#current = card;
    if (card) card.current = true;
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #click({ target }) {
    const card = this.#cardOf(target);
    const button = target.closest("button");
    if (!card || !button) return;
    if (button.matches(".card-open")) this.#tell("open", card.photo);
    else if (button.matches(".card-remove")) this.#remove(card.photo);
    else this.#tell("tag", button.dataset.tag);
  }

  #key(event) {
    const card = this.#cardOf(event.target);
    if (!card || event.altKey || event.ctrlKey || event.metaKey) return;
    const place = this.#visible.indexOf(card.photo);
    const columns = getComputedStyle(this.#list).gridTemplateColumns.split(" ").length;
    const last = this.#visible.length - 1;
    const places = {
      ArrowLeft: place - 1,
      ArrowRight: place + 1,
      ArrowUp: place - columns,
      ArrowDown: Math.floor(place / columns) < Math.floor(last / columns) ? Math.min(place + columns, last) : place,
      Home: 0,
      End: last,
    };
    if (event.key in places) {
      event.preventDefault();
      const photo = this.#visible[places[event.key]];
      if (photo) this.focus(photo);
    } else if (event.key === "Delete") this.#remove(card.photo);
  }

  #remove(photo) {
    const next = this.neighbour(photo, 1) ?? this.neighbour(photo, -1);
    this.#tell("remove", photo);
    if (next) this.focus(next);
  }
}
