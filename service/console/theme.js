// Theme: light, dark, or that of the system. Runs before the page is drawn, so that no wrong theme
// is ever shown.
"use strict";
(() => {
  const NAME = "mutant-guard-theme";
  const THEMES = ["auto", "light", "dark"];
  let theme = "auto";
  try {
    const kept = localStorage.getItem(NAME);
    if (THEMES.includes(kept)) theme = kept;
  } catch { /* a browser without storage */ }

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
      try { localStorage.setItem(NAME, theme); } catch { /* a browser without storage: the theme holds for this page alone */ }
      show();
    });
  });
})();
