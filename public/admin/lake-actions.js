// @ts-check
/**
 * What operators do to the buffer and the table: flush, compact, expire, reset. Each asks first.
 */
import { ApiProblem } from "./api.js";
import { isConfirmed } from "./confirmation.js";
import { find } from "./elements.js";
import { count, plural, size } from "./format.js";
import { act } from "./outcome.js";

/** @import { AdminApi } from "./api.js" */
/** @import { AdminFlushReport, CompactionReport, ExpiryReport, ResetReport } from "./contract.d.ts" */

/** Flushes and compactions of much data take their time. */
const LONG_MS = 180_000;

export class LakeActions {
  /** @param {{ api: AdminApi, onChange: () => void, onExport: (shard: string | undefined) => Promise<string | undefined> }} parts */
  constructor({ api, onChange, onExport }) {
    this.api = api;
    this.onChange = onChange;
    this.onExport = onExport;
    this.#onPress("#flush-all", (control) => this.#flush(control, undefined));
    this.#onPress("#compact", (control) => this.#compact(control));
    this.#onPress("#export-all", (control) => this.exportShard(undefined, control));
    const expire = find("#expire", HTMLFormElement);
    expire.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#expire(find("button", HTMLButtonElement, expire));
    });
  }

  /** @param {string} shard @param {Element} control */
  flushShard(shard, control) {
    void this.#flush(control, shard);
  }

  /** @param {string | undefined} shard @param {Element} control */
  async exportShard(shard, control) {
    await act({ control, name: "Export", work: () => this.onExport(shard) });
  }

  /** @param {string} shard @param {Element} control */
  resetShard(shard, control) {
    const name = `Reset of shard-${shard}`;
    void act({
      control,
      name,
      work: async () => {
        /** @type {ResetReport | undefined} */
        const report = await withNamedValue({
          send: (confirm) => this.api.post("buffer/reset", { query: { shard }, json: { confirm }, timeoutMs: LONG_MS }),
          question: (expected) => ({
            title: `Reset shard-${shard}?`,
            lines: [
              "All events that it buffers are written to R2, under exports/, and then leave the shard. They do not reach the table unless an export is replayed.",
              "Batches whose files are written already are finished, not dropped.",
            ],
            yes: "Export and reset",
            expected,
          }),
        });
        if (report === undefined) return undefined;
        this.onChange();
        const kept =
          report.kept_events > 0
            ? ` ${plural(report.kept_events, "event")} stay: of a batch that may have been delivered, or newer ones.`
            : "";
        const delivered =
          report.delivered_events > 0
            ? ` ${plural(report.delivered_events, "event")} were finished into the table.`
            : "";
        return `${plural(report.events, "event")} (${size(report.bytes)}) written to ${report.exports.join(", ") || "no file: it was empty"}.${delivered}${kept}`;
      },
    });
  }

  /** @param {string} selector @param {(control: HTMLButtonElement) => Promise<void>} work */
  #onPress(selector, work) {
    const control = find(selector, HTMLButtonElement);
    control.addEventListener("click", () => void work(control));
  }

  /** @param {Element} control @param {string | undefined} shard */
  async #flush(control, shard) {
    const what = shard === undefined ? "all shards" : `shard-${shard}`;
    const work = async () => {
      const lines = [
        `What is buffered in ${what} is written to Parquet files and committed to the table now, instead of when its time has come.`,
        "Nothing is lost by it; many small flushes make many small files.",
      ];
      if (!(await isConfirmed({ title: `Flush ${what}?`, lines, yes: "Flush" }))) return undefined;
      const report = await this.api.post("flush", { query: { shard }, timeoutMs: LONG_MS });
      this.onChange();
      return flushResult(report);
    };
    await act({ control, name: "Flush", work });
  }

  async #compact(/** @type {Element} */ control) {
    const work = async () => {
      const lines = ["Small files of the table are rewritten into larger ones, in one commit. Rows stay as they are."];
      if (!(await isConfirmed({ title: "Compact the table?", lines, yes: "Compact" }))) return undefined;
      /** @type {CompactionReport} */
      const report = await this.api.post("compact", { timeoutMs: LONG_MS });
      this.onChange();
      const left =
        report.remaining_files === 0 ? "" : ` ${plural(report.remaining_files, "small file")} left for another run.`;
      return `${plural(report.rewritten_files, "file")} rewritten into ${count(report.added_files)}, ${plural(report.records, "row")}.${left}`;
    };
    await act({ control, name: "Compaction", work });
  }

  async #expire(/** @type {Element} */ control) {
    const keep = find("#keep", HTMLInputElement).value;
    const work = async () => {
      const lines = [
        `All snapshots of the table but the newest ${keep} go, and files that no snapshot needs any more are deleted.`,
        "Queries can no longer go back to what is expired.",
      ];
      const question = { title: "Expire snapshots?", lines, yes: "Expire", isDangerous: true };
      if (!(await isConfirmed(question))) return undefined;
      /** @type {ExpiryReport} */
      const report = await this.api.post("expire-snapshots", { query: { keep }, timeoutMs: LONG_MS });
      this.onChange();
      return `${plural(report.expired_snapshots, "snapshot")} expired, ${plural(report.deleted_objects, "object")} deleted, ${count(report.kept_young_objects)} too young to delete.`;
    };
    await act({ control, name: "Expiry", work });
  }
}

/** @param {AdminFlushReport} report */
export function flushResult(report) {
  const events = report.shards.reduce((sum, shard) => sum + shard.events, 0);
  const files = report.shards.reduce((sum, shard) => sum + shard.files, 0);
  const done = `${plural(events, "event")} written to ${plural(files, "file")}, ${plural(report.committed_records, "row")} committed, ${count(report.remaining_events)} remaining.`;
  const faults = [...report.failed.map((name) => `${name} failed`), report.commit_error].filter(Boolean);
  if (!report.ok) throw new Error(`${done} ${faults.join("; ")}`);
  return done;
}

/** What the dialog asks where the service wants a value typed. */
/** @typedef {{ send: (confirm: string | undefined) => Promise<any>, question: (expected: string) => import("./confirmation.js").Question }} NamedValue */

/** The service names the value; where it has changed meanwhile, it is asked for again. @param {NamedValue} parts */
export async function withNamedValue({ send, question }) {
  /** @type {string | undefined} */
  let typed;
  let hasChanged = false;
  for (;;) {
    try {
      return await send(typed);
    } catch (error) {
      if (!(error instanceof ApiProblem) || error.code !== "confirmation_needed") throw error;
      const expected = String(error.body["expected"]);
      const asked = question(expected);
      const lines = hasChanged ? ["What is there has changed meanwhile. Once more:", ...asked.lines] : asked.lines;
      if (!(await isConfirmed({ ...asked, lines, isDangerous: true }))) return undefined;
      typed = expected;
      hasChanged = true;
    }
  }
}
