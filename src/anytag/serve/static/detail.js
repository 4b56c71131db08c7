// One photo, large, with all its tags. A tag that is pointed at or has the focus shows where it is;
// a click or Enter keeps the map.

import { tagRow } from "./card.js";
import { byId, icon, make } from "./dom.js";
import { Evidence } from "./evidence.js";
import { detailTags } from "./shown.js";

/** Events: "step" with -1 or 1, "tag" with a name, "copy" with a photo, "caption" with a photo, "closed". */
export class Detail extends EventTarget {
  #dialog = byId("detail");
  #image = byId("detail-photo");
  #list = byId("detail-tags");
  #frame = this.#dialog.querySelector(".frame");
  #store;
  #evidence;
  #url = null;
  photo = null;

  constructor(api, store) {
    super();
    this.#store = store;
    this.#evidence = new Evidence(api, byId("detail-heat"), byId("detail-hint"));
    this.#listen();
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #listen() {
    const dialog = this.#dialog;
    const on = (id, type, detail) => byId(id).addEventListener("click", () => this.#tell(type, detail?.()));
    on("previous", "step", () => -1);
    on("next", "step", () => 1);
    on("copy-one", "copy", () => this.photo);
    on("caption", "caption", () => this.photo);
    byId("detail-close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => this.#closed());
    dialog.addEventListener("keydown", (event) => this.#key(event));
    this.#image.addEventListener("load", () => this.#shape(this.#image.naturalWidth, this.#image.naturalHeight));
    this.#image.addEventListener("error", () => this.#unseen(true));
    const row = (event) => event.target.closest(".tag");
    this.#list.addEventListener("pointerover", (event) => event.pointerType === "mouse" && this.#point(row(event)));
    this.#list.addEventListener("pointerleave", () => this.#evidence.rest());
    this.#list.addEventListener("focusin", (event) => row(event)?.matches(":focus-visible") && this.#point(row(event)));
    this.#list.addEventListener("focusout", () => this.#evidence.rest());
    this.#list.addEventListener("click", (event) => this.#click(event));
    new ResizeObserver(() => this.#evidence.redraw()).observe(this.#frame);
  }

  /** Show a photo; `before` and `after` say whether there are others. */
  open(photo, { before, after }) {
    this.photo = photo;
    this.#evidence.start(photo, this.#store.settings.model, this.#store.model?.explains);
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = URL.createObjectURL(photo.file);
    this.#unseen(false);
    this.#image.src = this.#url;
    byId("previous").disabled = !before;
    byId("next").disabled = !after;
    byId("detail-name").textContent = photo.path.split("/").at(-1);
    this.update();
    if (!this.#dialog.open) this.#dialog.showModal();
    byId("detail-name").focus();
    this.#dialog.querySelector(".panel").scrollTop = 0;
  }

  /** The photo or the settings changed. */
  update() {
    const { photo } = this;
    if (!photo) return;
    const { settings } = this.#store;
    const answer = photo.answers.get(settings.model);
    if (answer) this.#shape(answer.width, answer.height);
    const facts = answer && [`${answer.width} × ${answer.height}`, answer.model];
    byId("detail-facts").textContent = photo.state === "failed" ? photo.error.message : (facts?.join(" · ") ?? "being tagged …");
    const caption = photo.captions.get(settings.model);
    byId("detail-caption").textContent = caption ?? "";
    byId("detail-caption").hidden = !caption;
    byId("caption").hidden = !this.#store.model?.captioner || Boolean(caption);
    this.#evidence.use(photo, settings.model, this.#store.model?.explains);
    this.#fill(detailTags(photo, settings));
  }

  #fill(tags) {
    const focused = this.#list.contains(document.activeElement) ? document.activeElement : null;
    const place = focused && [focused.dataset.tag, focused.className];
    this.#list.replaceChildren(...tags.map((tag) => this.#row(tag)));
    if (!place) return;
    const again = [...this.#list.querySelectorAll("button")].find((one) => one.dataset.tag === place[0] && one.className === place[1]);
    (again ?? byId("detail-name")).focus();
  }

  #row(tag) {
    const row = tagRow(tag, `${tag.present ? "" : "below the threshold, "}show where`);
    row.tabIndex = 0;
    row.setAttribute("aria-pressed", String(this.#evidence.kept === tag.name));
    row.classList.toggle("absent", !tag.present);
    const filter = make("button", { type: "button", className: "button quiet round filter", "aria-label": `Photos with ${tag.name}`, title: `Photos with ${tag.name}` }, icon("search"));
    filter.dataset.tag = tag.name;
    return make("li", {}, row, filter);
  }

  #point(row) {
    if (row) this.#evidence.point(row.dataset.tag);
  }

  #click({ target }) {
    const button = target.closest("button");
    if (!button) return;
    if (button.matches(".filter")) {
      this.#dialog.close();
      this.#tell("tag", button.dataset.tag);
      return;
    }
    this.#evidence.keep(button.dataset.tag);
    for (const row of this.#list.querySelectorAll(".tag")) {
      row.setAttribute("aria-pressed", String(row.dataset.tag === this.#evidence.kept));
    }
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) this.#tell("step", step);
    const move = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!move) return;
    const rows = [...this.#list.querySelectorAll(".tag")];
    const place = rows.indexOf(document.activeElement);
    const next = place < 0 ? rows[0] : rows[place + move];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }

  #shape(width, height) {
    this.#dialog.style.setProperty("--ratio", width / height);
    this.#evidence.redraw();
  }

  #unseen(value) {
    byId("detail-unseen").hidden = !value;
    this.#image.hidden = value;
  }

  #closed() {
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = null;
    this.#image.removeAttribute("src");
    this.#evidence.start(null, null, false);
    const { photo } = this;
    this.photo = null;
    this.#tell("closed", photo);
  }
}
