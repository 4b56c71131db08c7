// How far the tagging is: a bar, the rate and the time left; told aloud from time to time.

import { announce, byId, count } from "./dom.js";

const EVERY = 5000; // ms between two announcements

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** "12 of 40 photos · 3.1 a second · 9 s left" */
export function progressText({ done, total, rate }) {
  const text = `${done.toLocaleString("en")} of ${count(total, "photo")}`;
  if (done < 3 || !rate) return text;
  const speed = rate >= 1 ? `${rate.toFixed(1)} a second` : `${(1 / rate).toFixed(1)} s each`;
  return `${text} · ${speed} · ${duration((total - done) / rate)} left`;
}

export class Progress {
  #box = byId("progress");
  #bar = byId("progress-bar");
  #text = byId("progress-text");
  #told = 0;
  #busyUntil = 0;

  show(progress) {
    this.#box.hidden = false;
    this.#bar.max = progress.total;
    this.#bar.value = progress.done;
    const text = progressText(progress);
    const rest = Math.ceil((this.#busyUntil - Date.now()) / 1000);
    this.#text.textContent = rest > 0 ? `${text} · the server is busy, going on in ${rest} s` : text;
    if (Date.now() - this.#told > EVERY) {
      this.#told = Date.now();
      announce(this.#text.textContent);
    }
  }

  /** The server asked to wait. */
  busy(seconds, progress) {
    this.#busyUntil = Date.now() + seconds * 1000;
    if (progress) this.show(progress);
  }

  end({ done }, numFailed) {
    if (this.#box.hidden) return;
    this.#box.hidden = true;
    this.#busyUntil = 0;
    this.#told = 0;
    announce(`${count(done - numFailed, "photo")} tagged${numFailed ? `, ${numFailed} failed` : ""}`);
  }
}
