// The server's routes. A busy server (429, 503) is asked again when it says so; a refused key is
// asked of the person, once for all requests that wait for it.

const MOST_WAITS = 40;
const KEY = "anytag-key";

export class ApiError extends Error {
  constructor(status, type, message) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.type = type;
  }
}

function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}

/** Seconds of a Retry-After header, which may also be a date; between 0.2 and 60. */
export function retryAfter(header, now = Date.now()) {
  const seconds = /^\s*\d+(\.\d+)?\s*$/.test(header ?? "") ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) ? Math.min(60, Math.max(0.2, seconds)) : 1;
}

async function errorOf(response) {
  const body = await response.json().catch(() => null);
  const error = body?.error ?? {};
  const message = error.message ?? `The server answered ${response.status} ${response.statusText}`.trim();
  return new ApiError(response.status, error.type ?? "http_error", message);
}

export class Api {
  /**
   * @param {object} hooks
   * @param {(message: string) => Promise<string|null>} hooks.askKey a key, or null: none is given
   * @param {(seconds: number) => void} hooks.onBusy the server asked to wait
   */
  constructor({ askKey, onBusy }) {
    this.#askKey = askKey;
    this.#onBusy = onBusy;
    try {
      this.#key = sessionStorage.getItem(KEY);
    } catch {
      // Storage may be switched off; the key then lasts as long as the page.
    }
  }

  #askKey;
  #onBusy;
  #key = null;
  #asking = null;
  #resumeAt = 0;

  /** -> { models, server }: what can be asked, and the server's limits */
  models() {
    return this.#send("v1/models", null);
  }

  /** Tags of a picture: the model's best `topK`, or those of `tags` alone. */
  tag({ file, path }, { model, tags = [], topK }, signal) {
    const fields = { model, tags: JSON.stringify(tags), top_k: topK };
    return this.#send("v1/tag", this.#form(file, path, fields), signal);
  }

  /** Where a tag is. */
  explain({ file, path }, { model, tag }, signal) {
    return this.#send("v1/explain", this.#form(file, path, { model, tag }), signal);
  }

  async caption({ file, path }, { model }, signal) {
    return (await this.#send("v1/caption", this.#form(file, path, { model }), signal)).caption;
  }

  #form(file, path, fields) {
    const form = new FormData();
    form.append("image", file, path.split("/").at(-1));
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    return form;
  }

  async #send(path, body, signal) {
    for (let waits = 0; ; waits += 1) {
      const rest = this.#resumeAt - Date.now();
      if (rest > 0) await sleep(rest, signal);
      const key = this.#key;
      const response = await this.#fetch(path, body, key, signal);
      if (response.ok) return response.json();
      if (response.status === 401) await this.#newKey(key, await errorOf(response));
      else if ((response.status === 429 || response.status === 503) && waits < MOST_WAITS) this.#wait(response);
      else throw await errorOf(response);
    }
  }

  async #fetch(path, body, key, signal) {
    try {
      return await fetch(new URL(path, document.baseURI), {
        method: body ? "POST" : "GET",
        body,
        signal,
        headers: key ? { Authorization: `Bearer ${key}` } : {},
      });
    } catch (error) {
      if (error.name === "AbortError" || signal?.aborted) throw error;
      throw new ApiError(0, "unreachable", "The server cannot be reached, or the file can no longer be read");
    }
  }

  #wait(response) {
    const seconds = retryAfter(response.headers.get("Retry-After"));
    // Requests that waited together must not all come back at the same moment.
    this.#resumeAt = Math.max(this.#resumeAt, Date.now() + seconds * 1000 * (1 + Math.random() / 4));
    this.#onBusy(seconds);
  }

  async #newKey(refused, error) {
    if (this.#key !== refused) return; // another request has brought a new one meanwhile
    this.#asking ??= this.#askKey(refused ? error.message : "").finally(() => {
      this.#asking = null;
    });
    const key = await this.#asking;
    if (key === null) throw error;
    this.#key = key;
    try {
      sessionStorage.setItem(KEY, key);
    } catch {
      // As above.
    }
  }
}
