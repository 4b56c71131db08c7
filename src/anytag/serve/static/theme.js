// Light or dark, before the page is painted: this script alone is not a module.
"use strict";
{
  const root = document.documentElement;
  const order = ["auto", "light", "dark"];
  let theme = "auto";
  try {
    theme = localStorage.getItem("anytag-theme") ?? "auto";
  } catch {
    // Storage may be switched off; the choice then lasts as long as the page.
  }

  const apply = () => {
    root.dataset.theme = order.includes(theme) ? theme : "auto";
  };
  apply();

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = button.querySelector("span");
    const name = () => {
      label.textContent = `Colours: ${{ auto: "as the system", light: "light", dark: "dark" }[root.dataset.theme]}`;
      button.title = label.textContent;
    };
    name();
    button.addEventListener("click", () => {
      theme = order[(order.indexOf(root.dataset.theme) + 1) % order.length];
      try {
        localStorage.setItem("anytag-theme", theme);
      } catch {
        // As above.
      }
      apply();
      name();
    });
  });
}
