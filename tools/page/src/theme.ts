/** Light, dark, or as the system is; kept in this browser. */

import { signal } from "@preact/signals";

const KEY = "theme";
export const themes = ["system", "light", "dark"] as const;
export type Theme = (typeof themes)[number];

const kept = localStorage.getItem(KEY);
export const theme = signal<Theme>(themes.find((each) => each === kept) ?? "system");

/** Changes when the colours do: what is painted by hand is painted anew. */
export const isDark = signal(false);

const system = matchMedia("(prefers-color-scheme: dark)");

function apply(): void {
  document.documentElement.dataset.theme = theme.value;
  isDark.value = theme.value === "dark" || (theme.value === "system" && system.matches);
}

export function setTheme(chosen: Theme): void {
  theme.value = chosen;
  localStorage.setItem(KEY, chosen);
  apply();
}

system.addEventListener("change", apply);
apply();
