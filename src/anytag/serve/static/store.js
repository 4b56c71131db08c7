// What the page knows: photos with their answers, and the settings. It tells its listeners of changes.

let nextId = 1;

/** A photo of which nothing is known yet. */
function newPhoto(file, path) {
  return {
    id: nextId++,
    file,
    path,
    state: "waiting", // then "working", then "done" or "failed"
    error: null, // { type, message } of the last attempt
    answers: new Map(), // model -> answer of /v1/tag
    own: new Map(), // model -> Map of plain name -> tag, for one's own tags
    captions: new Map(), // model -> text
    heatmaps: new Map(), // "model tag" -> promise of the answer of /v1/explain
    shown: [], // the tags that count as present, kept by view.js
  };
}

/**
 * Events, each with a `detail`: "added" and "removed" (a list of photos), "changed" (a photo),
 * "settings" (names of what changed), "query".
 */
export class Store extends EventTarget {
  photos = new Map();
  settings = { model: null, threshold: "auto", ownTags: [] };
  limits = { bytes: Infinity }; // of one file, as the server says
  model = null; // the entry of /v1/models that `settings.model` names
  query = "";
  #keys = new Set();

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** Take files in; the same file is not taken twice. -> the number that were here already */
  add(files) {
    const added = [];
    for (const { file, path } of files) {
      const key = JSON.stringify([path, file.size, file.lastModified]);
      if (this.#keys.has(key)) continue;
      this.#keys.add(key);
      const photo = { ...newPhoto(file, path), key };
      this.photos.set(photo.id, photo);
      added.push(photo);
    }
    if (added.length) this.#tell("added", added);
    return files.length - added.length;
  }

  remove(photos) {
    for (const photo of photos) {
      this.photos.delete(photo.id);
      this.#keys.delete(photo.key);
    }
    this.#tell("removed", photos);
  }

  /** Put removed photos back, in their old order. */
  restore(photos) {
    const all = [...this.photos.values(), ...photos].sort((a, b) => a.id - b.id);
    this.photos = new Map(all.map((photo) => [photo.id, photo]));
    for (const photo of photos) this.#keys.add(photo.key);
    this.#tell("added", photos);
  }

  change(photo, values) {
    Object.assign(photo, values);
    this.#tell("changed", photo);
  }

  set(values) {
    Object.assign(this.settings, values);
    this.#tell("settings", Object.keys(values));
  }

  search(query) {
    if (query === this.query) return;
    this.query = query;
    this.#tell("query", query);
  }
}
