// Asks the server for what is not known yet of each photo, some photos at a time.

import { ApiError } from "./api.js";
import { NUM_ASKED, plain } from "./shown.js";

const CONCURRENCY = 4;
const STOPPED = { type: "stopped", message: "stopped before it was tagged" };

function tooLarge(size, limit) {
  const mb = (bytes) => (bytes / 1e6).toLocaleString("en", { maximumFractionDigits: 1 });
  return `has ${mb(size)} MB; this server takes ${mb(limit)} MB at most`;
}

/** One's own tags whose scores are not known yet. */
export function missingTags(photo, { model, ownTags }) {
  const known = photo.own.get(model);
  return ownTags.filter((name) => !known?.has(plain(name)));
}

function isComplete(photo, settings) {
  return photo.answers.has(settings.model) && !missingTags(photo, settings).length;
}

/**
 * Events: "progress" and "idle" with { done, total, rate }, "failed" with a photo, "refused" with
 * { name, message } of a tag that the model does not take.
 */
export class Tagging extends EventTarget {
  #api;
  #store;
  #waiting = [];
  #working = new Set();
  #abort = new AbortController();
  #done = 0;
  #total = 0;
  #started = 0;

  constructor(api, store) {
    super();
    this.#api = api;
    this.#store = store;
  }

  /** Ask whatever is missing of these photos. */
  ask(photos) {
    const { settings } = this.#store;
    const queued = new Set([...this.#waiting, ...this.#working]);
    const open = photos.filter((photo) => !queued.has(photo) && !isComplete(photo, settings));
    if (!open.length) return;
    if (!queued.size) [this.#done, this.#total, this.#started] = [0, 0, performance.now()];
    this.#total += open.length;
    for (const photo of open) this.#store.change(photo, { state: "waiting", error: null });
    this.#waiting.push(...open);
    this.#pump();
  }

  /** Give up what has not been answered. */
  stop() {
    for (const photo of this.#waiting.splice(0)) this.#store.change(photo, { state: "failed", error: STOPPED });
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#tell();
  }

  #tell() {
    const seconds = (performance.now() - this.#started) / 1000;
    const detail = { done: this.#done, total: this.#total, rate: this.#done / seconds };
    this.dispatchEvent(new CustomEvent("progress", { detail }));
    if (!this.#waiting.length && !this.#working.size) this.dispatchEvent(new CustomEvent("idle", { detail }));
  }

  #pump() {
    while (this.#working.size < CONCURRENCY && this.#waiting.length) {
      const photo = this.#waiting.shift();
      if (!this.#store.photos.has(photo.id)) {
        this.#total -= 1;
        continue;
      }
      this.#working.add(photo);
      this.#tagOne(photo, this.#abort.signal).finally(() => {
        this.#working.delete(photo);
        this.#done += 1;
        this.#pump();
        this.#tell();
      });
    }
    this.#tell();
  }

  async #tagOne(photo, signal) {
    const { settings, limits } = this.#store;
    this.#store.change(photo, { state: "working" });
    try {
      if (photo.file.size > limits.bytes) throw new ApiError(413, "too_large", tooLarge(photo.file.size, limits.bytes));
      // Settings may change meanwhile, so what is missing is looked up anew after each answer.
      while (!isComplete(photo, settings)) await this.#askOnce(photo, settings, signal);
      this.#store.change(photo, { state: "done", error: null });
    } catch (error) {
      this.#fail(photo, error);
    }
  }

  async #askOnce(photo, { model, ownTags }, signal) {
    if (!photo.answers.has(model)) {
      photo.answers.set(model, await this.#api.tag(photo, { model, topK: NUM_ASKED }, signal));
      this.#store.change(photo, {});
      return;
    }
    await this.#askOwn(photo, model, missingTags(photo, { model, ownTags }), signal);
    this.#store.change(photo, {});
  }

  async #askOwn(photo, model, tags, signal) {
    const own = photo.own.get(model) ?? new Map();
    photo.own.set(model, own);
    try {
      const answer = await this.#api.tag(photo, { model, tags, topK: NUM_ASKED + tags.length }, signal);
      // Best first, and a name may be two tags of the model: the better one counts.
      for (const tag of answer.tags.toReversed()) own.set(plain(tag.name), tag);
    } catch (error) {
      if (!["tags", "too_many_tags", "model"].includes(error.type)) throw error;
      // Not every model takes every tag. The photo is as good as without it.
      if (tags.length > 1) for (const name of tags) await this.#askOwn(photo, model, [name], signal);
      else this.dispatchEvent(new CustomEvent("refused", { detail: { name: tags[0], message: error.message } }));
    }
    for (const name of tags) if (!own.has(plain(name))) own.set(plain(name), null);
  }

  #fail(photo, error) {
    if (error.name === "AbortError") {
      this.#store.change(photo, { state: "failed", error: STOPPED });
      return;
    }
    const type = error instanceof ApiError ? error.type : "page_error";
    this.#store.change(photo, { state: "failed", error: { type, message: error.message } });
    this.dispatchEvent(new CustomEvent("failed", { detail: photo }));
  }
}
