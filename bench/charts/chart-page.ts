/**
 * A page of charts and tables, whole in one file: no script, no address but its own, readable in light and
 * dark and on a phone.
 */

export interface PageSection {
  readonly heading: string;
  /** HTML, already escaped. */
  readonly body: string;
}

const STYLE = `
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2430; --faint: #8a94a3; --ours: #0b6bcb; --others: #9aa5b1;
  --warning: #c4320a; --series-2: #b54708; --series-3: #067647; --series-4: #7a3fc7; --series-5: #5d6b7e; }
@media (prefers-color-scheme: dark) { :root { --paper: #12171f; --ink: #e4e9f0; --faint: #6b7686; --ours: #5aa9f5;
  --others: #66717f; --warning: #ff8a65; --series-2: #f0a35e; --series-3: #4cc38a; --series-4: #b394f0; --series-5: #a3afbf; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; background: var(--paper); color: var(--ink); }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
a { color: var(--ours); }
figure { margin: 1.5rem 0; } svg { width: 100%; min-width: 36rem; height: auto; font-size: 12px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } caption { text-align: left; font-weight: bold; padding: .3rem 0; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--faint); text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; } pre { overflow-x: auto; }
.regression { color: var(--warning); font-weight: bold; }
`;

export function chartPage(title: string, sections: readonly PageSection[]): string {
  const body = sections.map(({ heading, body }) => `<section>\n<h2>${escapeHtml(heading)}</h2>\n${body}\n</section>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${body.join("\n")}
</body>
</html>
`;
}

/** @param svg of charts.ts */
export function figure(svg: string): string {
  return `<figure class="wide">${svg}</figure>`;
}

/** @param rows cells as text; they are escaped here */
export function htmlTable(head: readonly string[], rows: readonly (readonly string[])[], caption?: string): string {
  const line = (tag: "th" | "td", cells: readonly string[]) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  const title = caption === undefined ? "" : `<caption>${escapeHtml(caption)}</caption>`;
  const body = rows.map((cells) => line("td", cells)).join("\n");
  return `<div class="wide" tabindex="0"><table>${title}<thead>${line("th", head)}</thead><tbody>\n${body}\n</tbody></table></div>`;
}

export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
