/**
 * Numbers as people read them: three digits that mean something, thousands apart.
 */
const DIGITS = 3;
const MILLION = 1_000_000;
const SEC_PER_MIN = 60;
const SEC_PER_HOUR = 3600;

export function rounded(value: number): string {
  if (!Number.isFinite(value)) return "∞";
  if (value === 0) return "0";
  if (Math.abs(value) < 0.001) return "< 0.001";
  const text = Number(value.toPrecision(DIGITS));
  return text.toLocaleString("en", { maximumSignificantDigits: DIGITS });
}

/** Streams at once, as they were asked for. */
export function counted(value: number): string {
  if (value >= MILLION && value % (MILLION / 100) === 0) return `${value / MILLION} million`;
  return value.toLocaleString("en");
}

export function percent(share: number): string {
  return `${rounded(share * 100)} %`;
}

export function milliseconds(sec: number): string {
  return rounded(sec * 1000);
}

/** Beyond a minute in larger units. */
export function duration(sec: number): string {
  if (!Number.isFinite(sec)) return "never";
  if (sec < SEC_PER_MIN) return `${rounded(sec)} s`;
  if (sec < 2 * SEC_PER_HOUR) return `${rounded(sec / SEC_PER_MIN)} min`;
  return `${rounded(sec / SEC_PER_HOUR)} h`;
}

export function dollars(amount: number): string {
  if (amount < 0.01) return amount === 0 ? "0" : "< 0.01";
  if (amount >= MILLION) return `${rounded(amount / MILLION)} million`;
  return rounded(amount);
}

/** @param words how many columns from the left hold words; the others hold numbers */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  words: number = 1,
): string {
  const rule = head.map((_, at) => (at < words ? "---" : "---:"));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
