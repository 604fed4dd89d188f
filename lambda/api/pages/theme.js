// Before the first paint, so that a chosen theme does not flash. Without a choice the system decides.
"use strict";

const THEME = "lectern-theme";
const darkSystem = window.matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : darkSystem.matches;
}

function applyTheme(chosen) {
  if (chosen) document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
}

// The chosen theme is all that is ever kept beyond the tab.
function keepTheme(chosen) {
  try {
    if (chosen) localStorage.setItem(THEME, chosen);
    else localStorage.removeItem(THEME);
  } catch {
    // Storage may be forbidden; the choice then holds until the page is left.
  }
}

function watchThemeButton(button) {
  const name = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Use the light theme" : "Use the dark theme");
  };
  button.addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    // Choosing what the system wants anyway means following it again.
    const chosen = (next === "dark") === darkSystem.matches ? null : next;
    applyTheme(chosen);
    keepTheme(chosen);
    name();
  });
  darkSystem.addEventListener("change", name);
  name();
}

try {
  const kept = localStorage.getItem(THEME);
  if (kept === "dark" || kept === "light") applyTheme(kept);
} catch {
  // As above.
}
