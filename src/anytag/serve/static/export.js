// Records of photos as JSON Lines and CSV: the forms of `anytag tag --format jsonl` and `csv`.

import { passes } from "./shown.js";

const COLUMNS = ["path", "tag", "score", "threshold", "id", "kind", "error", "message"];

const rounded = (number) => Math.round(number * 1e4) / 1e4;

/** The record of a photo with the tags that are shown; null for one that has no answer yet. */
export function record(photo, { model, threshold }) {
  const answer = photo.answers.get(model);
  if (!answer && !photo.error) return null;
  return {
    path: photo.path,
    sha256: answer?.sha256 ?? null,
    width: answer?.width ?? null,
    height: answer?.height ?? null,
    model: answer?.model ?? model,
    tags: photo.shown.filter((tag) => passes(tag, threshold)).map((tag) => ({
      name: tag.name,
      score: rounded(tag.score),
      threshold: rounded(threshold === "auto" ? tag.threshold : threshold),
      id: tag.id,
      kind: tag.kind ?? null,
    })),
    caption: photo.captions.get(model) ?? null,
    error: answer ? null : { type: photo.error.type, message: photo.error.message },
  };
}

/** One record a line. */
export function toJsonLines(records) {
  return records.map((one) => `${JSON.stringify(one)}\n`).join("");
}

/**
 * A cell as RFC 4180 wants it. A text that a spreadsheet would take for a formula gets an
 * apostrophe before it, for file names and tags may come from anywhere.
 */
export function cell(value) {
  if (typeof value === "number") return String(value);
  let text = value ?? "";
  if (/^[\s]*[=+\-@\t\r\n＝＋－＠]/.test(text)) text = `'${text}`;
  return /[",\r\n']/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
}

/** One row for each tag; a photo without tags, or with an error, has one row. */
export function toCsv(records) {
  const rows = [COLUMNS];
  for (const { path, tags, error } of records) {
    if (error) rows.push([path, "", "", "", "", "", error.type, error.message]);
    else if (!tags.length) rows.push([path, "", "", "", "", "", "", ""]);
    for (const tag of tags) {
      const numbers = [tag.score.toFixed(4), tag.threshold.toFixed(4)].map(Number);
      rows.push([path, tag.name, ...numbers, tag.id, tag.kind, "", ""]);
    }
  }
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** Give the browser a file to save. */
export function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
