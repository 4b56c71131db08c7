// Keeps what is seen in step with the store: one pass for each frame in which something changed.

import { byId, count } from "./dom.js";
import { countTags, matches, parseQuery } from "./search.js";
import { shownTags } from "./shown.js";

export class View {
  #store;
  #gallery;
  #facets;
  #detail;
  #dirty = new Set();
  #all = false;
  #frame = 0;
  visible = [];
  counts = [];

  constructor({ store, gallery, facets, detail }) {
    this.#store = store;
    this.#gallery = gallery;
    this.#facets = facets;
    this.#detail = detail;
    store.addEventListener("added", ({ detail: photos }) => {
      gallery.add(photos);
      this.#schedule(photos);
    });
    store.addEventListener("removed", ({ detail: photos }) => {
      gallery.remove(photos);
      this.#now();
    });
    store.addEventListener("changed", ({ detail: photo }) => this.#schedule([photo]));
    store.addEventListener("settings", () => {
      this.#all = true;
      this.#schedule([]);
    });
    store.addEventListener("query", () => this.#now());
  }

  #schedule(photos) {
    for (const photo of photos) this.#dirty.add(photo);
    this.#frame ||= requestAnimationFrame(() => this.#now());
  }

  #now() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const { photos, settings, query } = this.#store;
    const all = [...photos.values()];
    const changed = this.#all ? all : [...this.#dirty].filter((photo) => photos.has(photo.id));
    this.#all = false;
    this.#dirty.clear();
    for (const photo of changed) {
      photo.shown = shownTags(photo, settings);
      this.#gallery.update(photo);
    }
    const terms = parseQuery(query);
    this.visible = terms.length ? all.filter((photo) => matches(photo.shown, terms)) : all;
    this.counts = countTags(all);
    this.#gallery.show(this.visible);
    this.#facets.show(terms.length ? countTags(this.visible) : this.counts, query);
    this.#frameOf(all, terms);
    if (this.#detail.photo && changed.includes(this.#detail.photo)) this.#detail.update();
  }

  #frameOf(all, terms) {
    const failed = all.filter((photo) => photo.state === "failed").length;
    for (const [id, hidden] of [["welcome", all.length], ["work", !all.length], ["add", !all.length], ["export-section", !all.length]]) {
      byId(id).hidden = Boolean(hidden);
    }
    document.body.classList.toggle("has-photos", all.length > 0);
    const text = terms.length ? `${this.visible.length.toLocaleString("en")} of ${count(all.length, "photo")}` : count(all.length, "photo");
    const summary = failed ? `${text} · ${failed} could not be tagged` : text;
    if (byId("summary").textContent !== summary) byId("summary").textContent = summary;
    byId("again").hidden = !failed;
    byId("nothing").hidden = !all.length || this.visible.length > 0;
    byId("export-note").textContent = `${count(this.visible.length, "photo")}, with the tags shown.`;
  }
}
