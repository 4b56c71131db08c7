"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = Object.fromEntries(data.columns.map((name, place) => [name, place]));
const rows = data.rows;
const $ = id => document.getElementById(id);
let found = [], shown = 0, unsaved = false;

function more() {
  const next = found.slice(shown, shown + PAGE);
  $("rows").append(...next.map(draw));
  shown += next.length;
  $("more").hidden = shown >= found.length;
  tell();
}

function csv() {
  const quote = cell => /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  return [data.columns, ...rows].map(cells => cells.map(quote).join(",") + "\n").join("");
}

$("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = $("save").dataset.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  unsaved = false;
});
$("more").addEventListener("click", more);
addEventListener("beforeunload", event => { if (unsaved) event.preventDefault(); });
