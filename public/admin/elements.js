// @ts-check
/**
 * Finding and making elements. All text goes in as text: nothing that a server says becomes markup here.
 */

/** @template {Element} T @param {string} selector @param {new () => T} type @param {ParentNode} [root] @returns {T} */
export function find(selector, type, root = document) {
  const found = root.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`the page has no ${selector}`);
  return found;
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Readonly<Record<string, string>>} [attributes]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** @param {string} text @param {() => void} onPress @param {Readonly<Record<string, string>>} [attributes] */
export function button(text, onPress, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", () => isEnabled(made) && onPress());
  return made;
}

/** Touches the page only where the text is another one: a selection and a reader's place survive. */
export function setText(/** @type {Node} */ node, /** @type {string} */ text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Unlike `disabled`, it leaves the keyboard's focus where it is. */
export function setEnabled(/** @type {Element} */ control, /** @type {boolean} */ isOn) {
  control.setAttribute("aria-disabled", String(!isOn));
}

export function isEnabled(/** @type {Element} */ control) {
  return control.getAttribute("aria-disabled") !== "true";
}

/** Pairs of a name and a value, as a definition list's content. @param {HTMLElement} list @param {readonly (readonly [string, string])[]} facts */
export function showFacts(list, facts) {
  const known = new Map(Array.from(list.children, (row) => [row.firstChild?.textContent, row]));
  const rows = facts.map(([name, value]) => {
    const row = known.get(name) ?? element("div", {}, element("dt", {}, name), element("dd"));
    if (row.lastChild !== null) setText(row.lastChild, value);
    return row;
  });
  if (rows.length !== list.children.length || rows.some((row) => row.parentNode !== list))
    list.replaceChildren(...rows);
}
