// Puts the parts of the page together.

import { Api } from "./api.js";
import { Detail } from "./detail.js";
import { announce, byId, count } from "./dom.js";
import { record, save, toCsv, toJsonLines } from "./export.js";
import { Facets } from "./facets.js";
import { Gallery } from "./gallery.js";
import { takeFiles } from "./intake.js";
import { askKey } from "./key.js";
import { ownTags } from "./own.js";
import { Progress } from "./progress.js";
import { toggleTag } from "./search.js";
import { searchBox } from "./searchbox.js";
import { Store } from "./store.js";
import { Tagging } from "./tagging.js";
import { thresholdControl } from "./threshold.js";
import { complain, complainOfFile, inform } from "./toast.js";
import { View } from "./view.js";

const store = new Store();
const progress = new Progress();
let lastProgress = null;
const api = new Api({ askKey, onBusy: (seconds) => progress.busy(seconds, lastProgress) });
const tagging = new Tagging(api, store);
const gallery = new Gallery(byId("gallery"));
const detail = new Detail(api, store);
const view = new View({ store, gallery, detail, facets: new Facets(store) });

function askAll() {
  if (store.settings.model) tagging.ask([...store.photos.values()]);
}

function followTagging() {
  const refused = new Set();
  tagging.addEventListener("progress", ({ detail: now }) => progress.show((lastProgress = now)));
  tagging.addEventListener("idle", ({ detail: now }) => {
    lastProgress = null;
    const failed = [...store.photos.values()].filter((photo) => photo.state === "failed").length;
    progress.end(now, failed);
  });
  tagging.addEventListener("failed", ({ detail: photo }) => complainOfFile(photo.path, photo.error.message));
  tagging.addEventListener("refused", ({ detail: { name, message } }) => {
    if (refused.has(name)) return;
    refused.add(name);
    complain(`${name} cannot be asked`, message);
  });
  store.addEventListener("added", ({ detail: photos }) => store.settings.model && tagging.ask(photos));
  store.addEventListener("settings", ({ detail: names }) => {
    if (names.includes("model") || names.includes("ownTags")) askAll();
  });
  byId("stop").addEventListener("click", () => tagging.stop());
  byId("again").addEventListener("click", askAll);
}

function remove(photos) {
  store.remove(photos);
  const text = photos.length === 1 ? `Removed ${photos[0].path.split("/").at(-1)}` : `Removed ${count(photos.length, "photo")}`;
  inform(text, { label: "Undo", act: () => store.restore(photos) });
}

function followGallery() {
  const search = (name) => {
    store.search(toggleTag(store.query, name));
    announce(byId("summary").textContent);
  };
  const open = (photo) => detail.open(photo, { before: gallery.neighbour(photo, -1), after: gallery.neighbour(photo, 1) });
  gallery.addEventListener("open", ({ detail: photo }) => open(photo));
  gallery.addEventListener("tag", ({ detail: name }) => search(name));
  gallery.addEventListener("remove", ({ detail: photo }) => remove([photo]));
  detail.addEventListener("step", ({ detail: step }) => {
    const photo = gallery.neighbour(detail.photo, step);
    if (photo) open(photo);
  });
  detail.addEventListener("tag", ({ detail: name }) => search(name));
  detail.addEventListener("closed", ({ detail: photo }) => gallery.focus(photo));
  detail.addEventListener("caption", ({ detail: photo }) => writeCaption(photo));
  byId("clear").addEventListener("click", () => {
    remove([...store.photos.values()]);
    byId("choose").focus();
  });
}

async function writeCaption(photo) {
  const { model } = store.settings;
  announce("Writing a caption");
  try {
    const caption = await api.caption(photo, { model });
    photo.captions.set(model, caption);
    store.change(photo, {});
    announce(caption);
  } catch (error) {
    complain("No caption", error.message);
  }
}

async function copy(value) {
  const text = JSON.stringify(value, null, 2);
  try {
    await navigator.clipboard.writeText(text);
    inform("Copied");
  } catch {
    complain("Not copied", "The browser did not give access to the clipboard; save the file instead.");
  }
}

function followExport() {
  const records = () => view.visible.map((photo) => record(photo, store.settings)).filter(Boolean);
  byId("copy-json").addEventListener("click", () => copy(records()));
  byId("save-jsonl").addEventListener("click", () => save("tags.jsonl", "application/jsonl", toJsonLines(records())));
  byId("save-csv").addEventListener("click", () => save("tags.csv", "text/csv;charset=utf-8", toCsv(records())));
  detail.addEventListener("copy", ({ detail: photo }) => copy(record(photo, store.settings)));
}

function followSide() {
  const toggle = byId("side-toggle");
  toggle.addEventListener("click", () => {
    const open = toggle.getAttribute("aria-expanded") !== "true";
    toggle.setAttribute("aria-expanded", String(open));
    byId("side-panel").classList.toggle("open", open);
  });
}

async function loadModels() {
  const select = byId("model");
  let models;
  try {
    const answer = await api.models();
    ({ models } = answer);
    store.limits.bytes = answer.server?.max_image_bytes ?? Infinity;
  } catch (error) {
    complain("The server's models cannot be listed", `${error.message}. Load the page again when it is there.`);
    return;
  }
  for (const { name, num_tags: number } of models) {
    select.append(new Option(`${name} (${number.toLocaleString("en")} tags)`, name));
  }
  const choose = (name) => {
    store.model = models.find((model) => model.name === name);
    byId("own-refused").hidden = store.model.own_tags === "any";
    store.set({ model: name });
  };
  select.addEventListener("change", () => choose(select.value));
  select.closest(".field").hidden = models.length < 2;
  const first = models.find((model) => model.default) ?? models[0];
  select.value = first.name;
  choose(first.name);
}

byId("host").textContent = location.host;
thresholdControl(store);
ownTags(store);
searchBox(store, () => view.counts);
followTagging();
followGallery();
followExport();
followSide();
takeFiles(store);
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("close", () => announce(""));
}
document.documentElement.dataset.ready = "true"; // from here on photos can come
await loadModels();
