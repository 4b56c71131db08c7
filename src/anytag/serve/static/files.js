// Files from a drop, a paste, or a chooser: [{ file, path }], path with the folders below the drop.

const IMAGE = /\.(jpe?g|jfif|png|gif|webp|avif|heic|heif|tiff?|bmp|jp2|j2k|jpx|ico|ppm|pgm|pbm|tga|qoi)$/i;

/** Whether a file of a folder is a picture; files named one by one are always tried. */
export function isImage({ name, type }) {
  return type.startsWith("image/") || IMAGE.test(name);
}

function fileOf(entry) {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

async function children(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    // A reader gives some entries at a time, 100 in Chromium, and none when it is through.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    found.push(...some);
  }
}

const byName = new Intl.Collator(undefined, { numeric: true }).compare;

async function walk(entry, found) {
  if (entry.isDirectory) {
    const entries = await children(entry);
    for (const child of entries.sort((a, b) => byName(a.name, b.name))) await walk(child, found);
    return;
  }
  const file = await fileOf(entry);
  const path = entry.fullPath.replace(/^\//, "");
  if (isImage(file)) found.files.push({ file, path });
  else found.leftOut += 1;
}

/** Everything in a drop, folders included. -> { files, leftOut } */
export async function fromDrop(transfer) {
  const found = { files: [], leftOut: 0 };
  // Items are gone after the first await, so all entries are taken before it.
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  for (const { entry, file } of entries) {
    if (entry?.isDirectory) await walk(entry, found);
    else if (file) found.files.push({ file, path: file.name });
  }
  return found;
}

/** Files of an <input>; those of a folder chooser know their folder. */
export function fromInput(list) {
  const found = { files: [], leftOut: 0 };
  for (const file of list) {
    const inFolder = Boolean(file.webkitRelativePath);
    if (inFolder && !isImage(file)) found.leftOut += 1;
    else found.files.push({ file, path: file.webkitRelativePath || file.name });
  }
  return found;
}

let numPasted = 0;

/** Pictures of a paste; the clipboard calls each of them "image.png", so they are numbered. */
export function fromPaste(transfer) {
  const files = [...transfer.files].map((file) => {
    if (!/^image\.\w+$/.test(file.name)) return { file, path: file.name };
    numPasted += 1;
    return { file, path: file.name.replace(/^image/, `pasted-${numPasted}`) };
  });
  return { files, leftOut: 0 };
}
