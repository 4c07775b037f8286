// @ts-check
/**
 * Light or dark: as the system has it, or as chosen here. The choice is all that the page ever stores.
 */
import { find } from "./elements.js";

const KEY = "spillway-theme";
const CHOICES = ["system", "light", "dark"];

/** @param {() => void} onChange also where the system changes */
export function followTheme(onChange) {
  const select = find("#theme", HTMLSelectElement);
  const stored = localStorage.getItem(KEY) ?? "system";
  select.value = CHOICES.includes(stored) ? stored : "system";
  document.documentElement.dataset["theme"] = select.value;
  select.addEventListener("change", () => {
    document.documentElement.dataset["theme"] = select.value;
    localStorage.setItem(KEY, select.value);
    onChange();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
}

/** A custom property's colour as a canvas takes it. */
export function colourOf(/** @type {string} */ property) {
  const probe = document.createElement("span");
  probe.style.color = `var(${property})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
