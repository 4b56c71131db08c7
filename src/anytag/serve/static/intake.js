// Ways in for photos: drop, paste, and the two choosers.

import { byId, count } from "./dom.js";
import { fromDrop, fromInput, fromPaste } from "./files.js";
import { complain, inform } from "./toast.js";

function take(store, { files, leftOut }) {
  const here = store.add(files);
  const parts = [];
  if (here) parts.push(`${count(here, "photo")} ${here === 1 ? "was" : "were"} here already`);
  if (leftOut) parts.push(`${count(leftOut, "file")} left out: not pictures`);
  if (!files.length && !leftOut) parts.push("There was no photo in it");
  if (parts.length) inform(`${parts.join("; ")}.`);
}

function takeDrops(store) {
  const hint = byId("drop-hint");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0; // enter and leave also come for each element below
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth += 1;
    hint.hidden = false;
  });
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    hint.hidden = !depth;
  });
  addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    hint.hidden = true;
    try {
      take(store, await fromDrop(event.dataTransfer));
    } catch (error) {
      complain("The drop could not be read", error.message);
    }
  });
}

function takePastes(store) {
  addEventListener("paste", (event) => {
    const found = fromPaste(event.clipboardData);
    if (!found.files.length) return; // text goes where it belongs
    event.preventDefault();
    take(store, found);
  });
}

function takeChoices(store) {
  const choose = { choose: "files", add: "files", "choose-folder": "folder", "add-folder": "folder" };
  for (const [button, input] of Object.entries(choose)) {
    byId(button).addEventListener("click", () => byId(input).click());
  }
  for (const id of ["files", "folder"]) {
    byId(id).addEventListener("change", ({ target }) => {
      take(store, fromInput(target.files));
      target.value = ""; // the same choice again must be a change
    });
  }
}

/** Whatever comes in goes into the store. */
export function takeFiles(store) {
  takeDrops(store);
  takePastes(store);
  takeChoices(store);
}
