/**
 * The proofs that every test of chaos makes can see: what is lost, doubled, changed or untold is a fault to them, and
 * so is what a stream leaves behind.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { LakeRecord } from "../fixtures/duckdb-lake.ts";
import type { ReadEvent } from "../fixtures/sse-reading.ts";
import { answersOfGone, storageFaults } from "./fixtures/clean-up-proof.ts";
import { dataFaults, type ReaderOutcome } from "./fixtures/data-proof.ts";
import type { Connection } from "./fixtures/reader-history.ts";
import { scriptedEvent } from "./fixtures/scripted-source.ts";
import { figureFaults } from "./fixtures/telemetry-figures.ts";
import { expectedTelemetry, telemetryFaults } from "./fixtures/telemetry-proof.ts";
import { ChaosScene, perform } from "./scene.ts";

const SENT = Array.from({ length: 6 }, (_, at) => scriptedEvent(7, at + 1));
const OPENING: ReadEvent = { event: "resume", data: "{}", id: undefined };
const END: ReadEvent = { event: "end", data: '{"status":"complete","last_id":"1-6"}', id: "1-6" };

function content(...seqs: readonly number[]): ReadEvent[] {
  return seqs.map((seq) => ({ event: "", data: "", ...SENT[seq - 1], id: `1-${seq}` }));
}

function gap(from: number, to: number, dropped: number): ReadEvent {
  return { event: "gap", data: JSON.stringify({ from: `1-${from}`, to: `1-${to}`, dropped }), id: `1-${to}` };
}

function connection(events: readonly ReadEvent[], given: Partial<Connection> = {}): Connection {
  const answer = { isResume: false, status: 200, code: undefined, endedAs: undefined, afterSeq: 0 };
  return { ...answer, events: [OPENING, ...events], retries: [], outcome: "closed", ...given };
}

const faultsOf = (connections: readonly Connection[], expected: ReaderOutcome = {}) =>
  dataFaults({ name: "reader", connections }, SENT, expected);

describe("the proof of data", () => {
  const cut = connection(content(1, 2, 3), { outcome: "cut" });
  const rest = connection([...content(4, 5, 6), END], { isResume: true, afterSeq: 3 });

  test.each<[string, readonly Connection[], ReaderOutcome?]>([
    ["everything over one connection", [connection([...content(1, 2, 3, 4, 5, 6), END])]],
    ["everything over two", [cut, rest]],
    ["what it asked for again", [cut, connection([...content(2, 3, 4, 5, 6), END], { afterSeq: 1 })]],
    ["a gap that was told", [connection([...content(1), gap(2, 4, 3), ...content(5, 6), END])], { gaps: [[2, 4]] }],
    ["nothing left by 204", [cut, connection(content(4, 5, 6), { afterSeq: 3 }), gone("completed")]],
  ])("has nothing against %s", (_, connections, expected) => {
    expect(faultsOf(connections, expected)).toEqual([]);
  });

  const last = [...content(6), END];
  const changed = { ...content(3)[0], data: "changed" } as ReadEvent;
  test.each<[string, readonly Connection[]]>([
    ["a lost event", [connection([...content(1, 2, 4, 5), ...last])]],
    ["an event lost between two connections", [cut, connection([...content(5), ...last], { afterSeq: 3 })]],
    ["a doubled event", [connection([...content(1, 2, 3, 3, 4, 5), ...last])]],
    ["an event repeated after a resume", [cut, connection([...content(3, 4, 5), ...last], { afterSeq: 3 })]],
    ["two events in the wrong order", [connection([...content(1, 3, 2, 4, 5), ...last])]],
    ["a changed event", [connection([...content(1, 2), changed, ...content(4, 5), ...last])]],
    ["an event that was never sent", [connection([...content(1, 2, 3, 4, 5, 6), { ...changed, id: "1-7" }])]],
    ["a missing tail", [connection([...content(1, 2, 3, 4, 5), END])]],
    ["a missing end", [connection(content(1, 2, 3, 4, 5, 6))]],
    ["an event after the end", [connection([...content(1, 2, 3, 4, 5), ...last, ...content(6)])]],
    ["a gap that nobody expected", [connection([...content(1), gap(2, 4, 3), ...content(5), ...last])]],
    ["a gap with a wrong count", [connection([...content(1), gap(2, 4, 2), ...content(5), ...last])]],
    ["a gap over what was there", [connection([...content(1, 2), gap(2, 4, 3), ...content(5), ...last])]],
    ["an end of another kind", [cut, connection(content(4, 5, 6), { afterSeq: 3 }), gone("failed")]],
  ])("sees %s", (_, connections) => {
    expect(faultsOf(connections)).not.toEqual([]);
  });
});

function gone(endedAs: string): Connection {
  return connection([], { status: 204, endedAs, events: [], isResume: true, afterSeq: 6 });
}

describe("on a stream that was cut, resumed and completed", () => {
  let scene: ChaosScene;
  beforeAll(async () => {
    scene = await ChaosScene.begin();
  });
  afterAll(() => scene.end());

  test("the proofs of telemetry and clean-up see a missing row, a doubled one, and what is left", async () => {
    const fromMs = Date.now();
    await perform(scene, {}, async (stream) => {
      const { source, first } = stream;
      source.send(4);
      await first.untilSeq(4);
      first.cut();
      await stream.untilReaders(0);
      await first.resume();
      source.send(4);
      source.end();
      await first.untilEnd();
      expect(storageFaults(scene.folder, stream.place)).toMatchObject(
        [/^storage is left/, /^an alarm is left/].map(matching),
      );
      expect((await answersOfGone(scene.service, stream)).faults).toHaveLength(3);

      let rows: LakeRecord[] = [];
      const ended = { state: "completed", reason: null };
      const readers = [first];
      const figures = { route: stream.route, readers, sent: source.sent, fromMs };
      const probed = { SseResumeAttempt: 2, SseResumeSuccess: 2, SseResumeIssued: 3 };
      const faults = (given: readonly LakeRecord[]) =>
        telemetryFaults(given, { ...expectedTelemetry({ readers, events: 8, ended }), ...probed });
      const untold = async () => {
        rows = (await scene.flushedRows()).filter((row) => row.request_id === stream.requestId);
        return faults(rows);
      };
      await expect.poll(untold, { timeout: 20_000, interval: 300 }).toEqual([]);
      expect(rows.length).toBeGreaterThanOrEqual(10);
      for (const row of rows) {
        const others = rows.filter((other) => other !== row);
        expect(faults(others), `without a row ${row.type}`).not.toEqual([]);
        expect(faults([...rows, row]), `with a row ${row.type} twice`).not.toEqual([]);
        expect(faults([...rows, { ...row, id: "another" }]), `with another row ${row.type}`).not.toEqual([]);
      }
      const seen = (given: readonly LakeRecord[]) => figureFaults(given, { ...figures, toMs: Date.now() });
      expect(seen(rows)).toEqual([]);
      for (const row of rows) {
        const data = JSON.parse(row.data ?? "{}") as Record<string, unknown>;
        for (const [name, value] of Object.entries({ ...data, another: 1 })) {
          for (const wrong of wrongOf(value)) {
            const changed = { ...row, data: JSON.stringify({ ...data, [name]: wrong }) };
            const faulty = rows.map((other) => (other === row ? changed : other));
            expect(
              [...faults(faulty), ...seen(faulty)],
              `${row.type} with ${name} ${String(wrong)} for ${String(value)}`,
            ).not.toEqual([]);
          }
        }
      }
      const unlive = rows.filter(({ type }) => !type.startsWith("SseResumeLive"));
      expect([rows.length - unlive.length, ...seen(unlive)]).toEqual([2, expect.stringContaining("never went live")]);
      const ending = rows.map((row) => (row.type === "SseStreamEnded" ? { ...row, data: '{"events":7}' } : row));
      expect(faults(ending)).not.toEqual([]);
      return { readers, telemetry: probed };
    });
  });

  test("a story that claims what was not so fails, by the first of its three proofs", async () => {
    const story = perform(scene, {}, async ({ source, first }) => {
      source.send(3);
      await first.untilSeq(3);
      source.end();
      await first.untilEnd();
      source.take(1);
      return { readers: [first] };
    });
    await expect(story).rejects.toThrow(/^data of stream .*: last event: found 3, expected 4/s);
    await expect(perform(scene, {}, () => Promise.resolve({ readers: [] }))).rejects.toThrow("no reader");
  });
});

/** What a figure can not have been, be it but a little off. */
function wrongOf(value: unknown): readonly unknown[] {
  if (typeof value === "number") return [-1, 1e9, value + 0.5, String(value), null];
  return ["9-9", "", 7];
}

function matching(pattern: RegExp): unknown {
  return expect.stringMatching(pattern);
}
