// The threshold: each tag's own ("auto"), or one for all from the slider.

import { byId } from "./dom.js";

export function thresholdControl(store) {
  const slider = byId("threshold");
  const auto = byId("threshold-auto");
  const value = byId("threshold-value");

  const show = () => {
    const { threshold } = store.settings;
    const isAuto = threshold === "auto";
    auto.setAttribute("aria-pressed", String(isAuto));
    value.textContent = isAuto ? "each tag's own" : threshold.toFixed(2);
    slider.setAttribute("aria-valuetext", value.textContent);
    slider.classList.toggle("idle", isAuto);
    slider.style.setProperty("--value", slider.value);
  };

  slider.addEventListener("input", () => store.set({ threshold: Number(slider.value) }));
  auto.addEventListener("click", () => {
    store.set({ threshold: store.settings.threshold === "auto" ? Number(slider.value) : "auto" });
  });
  store.addEventListener("settings", ({ detail }) => detail.includes("threshold") && show());
  show();
}
