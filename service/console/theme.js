// Light, dark, or as the system has it. Runs before the page is drawn, so that it is never drawn in the wrong one.
"use strict";
(() => {
  const NAME = "mutant-guard-theme";
  const THEMES = ["auto", "light", "dark"];
  let theme = "auto";
  try {
    const kept = localStorage.getItem(NAME);
    if (THEMES.includes(kept)) theme = kept;
  } catch { /* a browser that keeps nothing */ }

  function show() {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme-button");
    if (button) button.textContent = `Theme: ${theme}`;
  }

  show();
  document.addEventListener("DOMContentLoaded", () => {
    show();
    document.getElementById("theme-button").addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      try { localStorage.setItem(NAME, theme); } catch { /* it then holds for this page alone */ }
      show();
    });
  });
})();
