// Which tag's heatmap lies over the open photo. Maps are asked for once and kept with the photo.

import { isEmpty, paint, wipe } from "./heatmap.js";

const DELAY = 120; // ms that a pointer rests on a tag before its map is asked for
const HINT = "Point at a tag, or go to it with the arrow keys, to see where it is. A click keeps the map.";

export class Evidence {
  #api;
  #canvas;
  #hint;
  #photo = null;
  #model = null;
  #explains = false; // whether the model can tell where a tag is
  #wanted = null; // the tag whose map should be seen
  #drawn = null; // the answer that is seen
  #timer = 0;
  kept = null; // the tag whose map stays

  constructor(api, canvas, hint) {
    this.#api = api;
    this.#canvas = canvas;
    this.#hint = hint;
  }

  /** Another photo, or none. */
  start(photo, model, explains) {
    this.kept = null;
    this.#photo = photo;
    this.#model = model;
    this.#explains = explains;
    this.#want(null);
  }

  /** The same photo with, maybe, another model. */
  use(photo, model, explains) {
    if (photo !== this.#photo || model !== this.#model) this.start(photo, model, explains);
  }

  point(tag) {
    if (tag !== this.#wanted) this.#want(tag);
  }

  /** Nothing is pointed at. */
  rest() {
    if (this.#wanted !== this.kept) this.#want(this.kept);
  }

  /** Keep the map of a tag; the second time, let it go. */
  keep(tag) {
    this.kept = this.kept === tag ? null : tag;
    this.#want(this.kept);
  }

  redraw() {
    if (this.#drawn) paint(this.#canvas, this.#drawn);
  }

  #want(tag) {
    clearTimeout(this.#timer);
    this.#wanted = tag;
    if (!tag || !this.#explains) {
      this.#clear(this.#explains ? HINT : "This model cannot tell where a tag is.");
      return;
    }
    const key = `${this.#model} ${tag}`;
    if (this.#photo.heatmaps.has(key)) this.#show(tag, key);
    else this.#timer = setTimeout(() => this.#show(tag, key), DELAY);
  }

  async #show(tag, key) {
    const photo = this.#photo;
    if (!photo.heatmaps.has(key)) {
      this.#clear(`Looking for ${tag} …`);
      photo.heatmaps.set(key, this.#api.explain(photo, { model: this.#model, tag }));
    }
    const current = () => this.#photo === photo && this.#wanted === tag;
    try {
      const answer = await photo.heatmaps.get(key);
      if (current()) this.#draw(tag, answer);
    } catch (error) {
      photo.heatmaps.delete(key);
      if (current()) this.#clear(`${tag}: ${error.message}`);
    }
  }

  #draw(tag, answer) {
    if (isEmpty(answer.heatmap)) {
      this.#clear(`Nothing in this photo speaks for ${tag}.`);
      return;
    }
    this.#drawn = answer;
    this.redraw();
    this.#canvas.dataset.tag = tag;
    this.#hint.textContent = `Where the model sees ${tag}. The map says where, the score how sure.`;
  }

  #clear(hint) {
    this.#drawn = null;
    wipe(this.#canvas);
    delete this.#canvas.dataset.tag;
    this.#hint.textContent = hint;
  }
}
