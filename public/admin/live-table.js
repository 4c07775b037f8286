// @ts-check
/**
 * A table that follows its rows: cells change where they stand, so that the focus, an open detail and a
 * selection outlive an update.
 */
import { element, setText } from "./elements.js";
import { UNKNOWN } from "./format.js";

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: Row) => string} [text] the cell's text
 * @property {(row: Row) => Node} [make] or its content, made once for each key
 * @property {(content: Node, row: Row) => void} [follow] takes what is made to a newer row
 * @property {(row: Row) => string} [tone] class of the cell
 * @property {"number" | "mono" | "wide" | "actions"} [kind]
 * @property {boolean} [isHeader] whether it names its row
 */

/**
 * @template Row
 * @typedef {object} TableOptions
 * @property {string} caption
 * @property {readonly Column<Row>[]} columns
 * @property {(row: Row) => string} key
 * @property {string} empty what is said where there are no rows
 */

/** @template Row */
export class LiveTable {
  /** @type {Map<string, HTMLTableRowElement>} */
  #rows = new Map();

  /** @param {HTMLElement} host @param {TableOptions<Row>} options */
  constructor(host, { caption, columns, key, empty }) {
    this.columns = columns;
    this.key = key;
    this.body = element("tbody");
    const titles = columns.map(({ title, kind }) => {
      const text = title === "" ? element("span", { class: "unseen" }, "Actions") : title;
      return element("th", { scope: "col", class: kind === "number" ? kind : "" }, text);
    });
    this.frame = element(
      "div",
      { class: "table-frame", role: "region", "aria-label": caption },
      element(
        "table",
        {},
        element("caption", { class: "unseen" }, caption),
        element("thead", {}, element("tr", {}, ...titles)),
        this.body,
      ),
    );
    this.emptyText = empty;
    // Nothing is claimed before the first rows, or the word that there are none, have come.
    this.empty = element("p", { class: "empty" }, empty === "" ? "" : UNKNOWN);
    this.frame.hidden = true;
    host.replaceChildren(this.frame, this.empty);
    new ResizeObserver(() => this.#allowScrolling()).observe(this.frame);
  }

  show(/** @type {readonly Row[]} */ rows) {
    this.frame.hidden = rows.length === 0;
    this.empty.hidden = rows.length > 0;
    setText(this.empty, this.emptyText);
    const wanted = this.#byKey(rows);
    for (const [key, line] of this.#rows) {
      if (wanted.has(key)) continue;
      line.remove();
      this.#rows.delete(key);
    }
    let place = 0;
    for (const [key, row] of wanted) {
      const line = this.#rows.get(key) ?? this.#make(key, row);
      this.#follow(line, row);
      // Only what stands elsewhere is moved: moving takes the focus away.
      if (this.body.children[place] !== line) this.body.insertBefore(line, this.body.children[place] ?? null);
      place += 1;
    }
    this.#allowScrolling();
  }

  /** Rows that look the same are told apart by their number: none is lost. @param {readonly Row[]} rows */
  #byKey(rows) {
    /** @type {Map<string, Row>} */
    const found = new Map();
    for (const row of rows) {
      const key = this.key(row);
      let own = key;
      for (let number = 2; found.has(own); number++) own = `${key} ${number}`;
      found.set(own, row);
    }
    return found;
  }

  /** @param {string} key @param {Row} row */
  #make(key, row) {
    const cells = this.columns.map(({ make, kind, isHeader }) => {
      const cell = isHeader === true ? element("th", { scope: "row" }) : element("td");
      cell.className = kind ?? "";
      if (make !== undefined) cell.append(make(row));
      return cell;
    });
    const line = element("tr", {}, ...cells);
    this.#rows.set(key, line);
    return line;
  }

  /** @param {HTMLTableRowElement} line @param {Row} row */
  #follow(line, row) {
    for (const [index, { text, follow, tone, kind }] of this.columns.entries()) {
      const cell = line.cells[index];
      if (cell === undefined) continue;
      if (text !== undefined) setText(cell, text(row));
      if (follow !== undefined && cell.firstChild !== null) follow(cell.firstChild, row);
      if (tone !== undefined) cell.className = `${kind ?? ""} ${tone(row)}`.trim();
    }
  }

  /** What can be scrolled must be reachable by keyboard; what cannot must be no stop on the way. */
  #allowScrolling() {
    if (this.frame.scrollWidth > this.frame.clientWidth) this.frame.setAttribute("tabindex", "0");
    else this.frame.removeAttribute("tabindex");
  }
}
