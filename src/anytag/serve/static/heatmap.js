// A grid of numbers in [0, 1] over a photo: the photo is dimmed where nothing speaks for the tag,
// and has a warm light where much does; a box lies around the strongest part.

const SIZE = 96; // cells are smoothed to this many points a side before they are coloured

/** Value of a grid at (x, y) in cells, linear between the cells' middles. */
export function sample({ width, height, values }, x, y) {
  const clamp = (value, most) => Math.min(most, Math.max(0, value));
  const [left, top] = [clamp(Math.floor(x), width - 1), clamp(Math.floor(y), height - 1)];
  const [right, bottom] = [Math.min(left + 1, width - 1), Math.min(top + 1, height - 1)];
  const [dx, dy] = [clamp(x - left, 1), clamp(y - top, 1)];
  const row = (line) => values[line * width + left] * (1 - dx) + values[line * width + right] * dx;
  return row(top) * (1 - dy) + row(bottom) * dy;
}

const COLOURS = [
  [0, [16, 14, 46, 175]],
  [0.3, [70, 20, 110, 120]],
  [0.6, [215, 50, 110, 115]],
  [1, [255, 214, 60, 170]],
];

/** [red, green, blue, alpha] of 0 to 255: from a dark veil over violet and red to yellow. */
export function colour(value) {
  const place = Math.max(1, COLOURS.findIndex(([at]) => value <= at));
  const [[from, low], [to, high]] = [COLOURS[place - 1], COLOURS[place]];
  const share = (value - from) / (to - from);
  return low.map((part, number) => part + (high[number] - part) * share);
}

function coloured(grid) {
  const image = new ImageData(SIZE, SIZE);
  for (let y = 0; y < SIZE; y += 1) {
    for (let x = 0; x < SIZE; x += 1) {
      const place = [(x + 0.5) * (grid.width / SIZE) - 0.5, (y + 0.5) * (grid.height / SIZE) - 0.5];
      image.data.set(colour(sample(grid, ...place)), (y * SIZE + x) * 4);
    }
  }
  const canvas = new OffscreenCanvas(SIZE, SIZE);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/**
 * Draw an answer of /v1/explain.
 *
 * @param canvas lies over the photo
 * @param answer `heatmap`, `box` ([left, top, right, bottom] in pixels of the photo, or null), and
 *   `width` and `height` of the photo
 */
export function paint(canvas, { heatmap, box, width, height }) {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(coloured(heatmap), 0, 0, canvas.width, canvas.height);
  if (!box) return;
  const [left, top, right, bottom] = box;
  const [sx, sy] = [canvas.width / width, canvas.height / height];
  const line = 2 * ratio;
  const inside = (value, most) => Math.min(most - line, Math.max(line, value));
  const corner = [inside(left * sx, canvas.width), inside(top * sy, canvas.height)];
  const end = [inside(right * sx, canvas.width), inside(bottom * sy, canvas.height)];
  for (const [style, wide] of [["rgb(0 0 0 / 0.55)", 2 * line], ["#fff", line]]) {
    context.strokeStyle = style;
    context.lineWidth = wide;
    context.beginPath();
    context.roundRect(...corner, end[0] - corner[0], end[1] - corner[1], 5 * ratio);
    context.stroke();
  }
}

/** Take the drawing away. */
export function wipe(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

/** Whether nothing in the photo speaks for the tag. */
export function isEmpty({ values }) {
  return values.every((value) => value <= 0);
}
