// Small pictures for the gallery, made in the browser, two at a time; the newest wish comes first.

const WIDTH = 360;
const MOST = 600; // kept at a time, some 20 kB each
const made = new Map(); // photo id -> promise of an object URL, or of null: not a format it knows
const wishes = [];
let working = 0;

async function draw(file) {
  const bitmap = await createImageBitmap(file, { resizeWidth: WIDTH, resizeQuality: "medium" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  const type = file.type === "image/jpeg" ? "image/jpeg" : "image/webp"; // WebP may be transparent
  return URL.createObjectURL(await canvas.convertToBlob({ type, quality: 0.82 }));
}

function pump() {
  while (working < 2 && wishes.length) {
    const { photo, resolve } = wishes.pop();
    working += 1;
    draw(photo.file)
      .catch(() => null)
      .then(resolve)
      .finally(() => {
        working -= 1;
        pump();
      });
  }
}

/** Object URL of a photo's small picture, or null if the browser cannot read the format. */
export function thumbnail(photo) {
  let promise = made.get(photo.id);
  if (promise) made.delete(photo.id); // to the end: the last one used
  else {
    promise = new Promise((resolve) => wishes.push({ photo, resolve }));
    pump();
  }
  made.set(photo.id, promise);
  if (made.size > MOST) forget(made.keys().next().value);
  return promise;
}

/** Give the memory of a small picture back. */
export function forget(id) {
  const promise = made.get(id);
  made.delete(id);
  const wish = wishes.findIndex(({ photo }) => photo.id === id);
  if (wish >= 0) wishes.splice(wish, 1)[0].resolve(null);
  promise?.then((url) => url && URL.revokeObjectURL(url));
}
