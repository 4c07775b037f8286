/**
 * Killed as by a power cut in the middle of what the lake and the clean-up do: a flush, a commit, the hand-over of events,
 * the deletion of streams whose time is over. Nothing acknowledged is lost or doubled, and nothing is left behind.
 */
import { expect, test } from "vitest";

import { startBreakingProxy } from "../fixtures/breaking-proxy.ts";
import { callAdmin, numberedEvents, sendEvents } from "../fixtures/lake-client.ts";
import { seededRandom } from "../fixtures/process-random.ts";
import { openReader, until } from "../fixtures/process-reader.ts";
import { objectsWithTables } from "../fixtures/process-storage.ts";
import { startCatalogServer } from "../fixtures/rest-catalog-server.ts";
import { readFromCatalog, restCatalogVars, TABLE_LOCATION } from "./faults/catalog.ts";
import { ChaosScene, perform } from "./scene.ts";

/** So many take a flush longer than a kill takes to come. */
const FLUSHED_EVENTS = 8000;
const FLUSH_TRIES = 5;
const STREAMS = 24;

test("killed during a flush: what was in it is in the table once", async () => {
  const random = seededRandom("kill in a flush");
  await using scene = disposable(
    await ChaosScene.begin({ vars: { ICEBERG_BUFFER_SIZE: 20_000, ICEBERG_BUFFER_TIMEOUT_MS: 600_000 } }),
  );
  let sent = 0;
  await perform(scene.value, { seed: random.int(1, 1e6) }, async (stream) => {
    const { source, first } = stream;
    source.send(40);
    source.end();
    await first.untilEnd();
    expect((await callAdmin(scene.value.service, `flush?request_id=${stream.requestId}`)).status).toBe(200);
    let wasInFlush = false;
    for (let attempt = 0; attempt < FLUSH_TRIES && !wasInFlush; attempt++) {
      const { service } = scene.value;
      await sendEvents(service, numberedEvents("/chaos/flush", FLUSHED_EVENTS / 2, { firstId: sent }));
      await sendEvents(
        service,
        numberedEvents("/chaos/flush", FLUSHED_EVENTS / 2, { firstId: sent + FLUSHED_EVENTS / 2 }),
      );
      sent += FLUSHED_EVENTS;
      const count = (event: string) => service.lines.filter((line) => line.startsWith(`{"event":"${event}"`)).length;
      const begun = count("BufferFlushStarted");
      const flushing = callAdmin(service, "flush").catch(() => undefined);
      await until(() => count("BufferFlushStarted") > begun, "a flush");
      await scene.value.restart();
      await flushing;
      wasInFlush = count("BufferFlushSucceeded") < count("BufferFlushStarted");
    }
    expect(wasInFlush, "a kill came during a flush").toBe(true);
    return { readers: [first] };
  });
  const ids = (await scene.value.flushedRows())
    .filter(({ source }) => source === "/chaos/flush")
    .map(({ id }) => Number(id));
  expect(ids.toSorted((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, n) => n));
});

test.each([
  { isApplied: true, when: "after the catalog has taken it" },
  { isApplied: false, when: "before the catalog has taken it" },
])("killed during a commit, $when: every row is in the table once", async ({ isApplied }) => {
  const random = seededRandom("kill in a commit");
  const catalog = await startCatalogServer({ tableLocation: TABLE_LOCATION });
  try {
    await using scene = disposable(await ChaosScene.begin({ vars: restCatalogVars(catalog.uri) }));
    readFromCatalog(scene.value, catalog);
    const commits = () => catalog.calls.filter(({ operation }) => operation === "commit").length;
    await perform(scene.value, { seed: random.int(1, 1e6) }, async (stream) => {
      const { source, first } = stream;
      source.send(40);
      source.end();
      await first.untilEnd();
      expect((await callAdmin(scene.value.service, `flush?request_id=${stream.requestId}`)).status).toBe(200);
      const before = commits();
      catalog.fail("commit", { how: "hang", isApplied });
      await sendEvents(scene.value.service, numberedEvents("/chaos/commit", 500));
      await until(() => commits() > before, "a commit that is not answered");
      await scene.value.restart();
      return { readers: [first] };
    });
    const ids = (await scene.value.flushedRows())
      .filter(({ source }) => source === "/chaos/commit")
      .map(({ id }) => Number(id));
    expect(ids.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, n) => n));
  } finally {
    await catalog.stop();
  }
});

test.each([
  { and: "the call is sent again", isKilled: false },
  { and: "all is killed before the call is sent again", isKilled: true },
])("events that a shard has taken, and whose answer is lost: $and, and every row is in the table once", async (at) => {
  const random = seededRandom("lost answer");
  await using scene = disposable(await ChaosScene.begin({ vars: { ICEBERG_BUFFER_TIMEOUT_MS: 600_000 } }));
  const proxy = await startBreakingProxy(scene.value.service.origin);
  const events = numberedEvents("/chaos/lost-answer", 200);
  try {
    await perform(scene.value, { seed: random.int(1, 1e6) }, async (stream) => {
      const { source, first } = stream;
      source.send(40);
      source.end();
      await first.untilEnd();
      expect((await callAdmin(scene.value.service, `flush?request_id=${stream.requestId}`)).status).toBe(200);
      // The answer is cut after its first byte: it was given, and nobody has read it.
      proxy.cutAfter(1);
      await expect(sendEvents({ ...scene.value.service, origin: proxy.origin }, events)).rejects.toThrow(
        "fetch failed",
      );
      proxy.cutAfter(0);
      if (at.isKilled) await scene.value.restart();
      const again = await sendEvents(scene.value.service, events);
      expect(again).toMatchObject({ accepted: 0, duplicates: events.length, rejected: [] });
      return { readers: [first] };
    });
    const ids = (await scene.value.flushedRows())
      .filter(({ source }) => source === "/chaos/lost-answer")
      .map(({ id }) => Number(id));
    expect(ids.toSorted((a, b) => a - b)).toEqual(events.map((_, n) => n));
  } finally {
    await proxy.stop();
  }
});

test("killed while streams are deleted whose time is over: none of them is left", async () => {
  const random = seededRandom("kill in the clean-up");
  await using scene = disposable(await ChaosScene.begin({ routes: [{ name: "demo", upstream: "builtin:demo" }] }));
  const { folder } = scene.value;
  await perform(scene.value, { seed: random.int(1, 1e6) }, async (stream) => {
    const { source, first } = stream;
    const tokens: string[] = [];
    source.send(10);
    // One after the other, so that their times are over one after the other.
    for (let at = 0; at < STREAMS; at++) {
      const reader = await openReader(`${scene.value.service.origin}/demo/stream?events=20&rate=0`);
      await reader.toEnd();
      tokens.push(reader.header("x-resume-token"));
    }
    source.end();
    await first.untilEnd();
    expect((await callAdmin(scene.value.service, `flush?request_id=${stream.requestId}`)).status).toBe(200);
    const most = objectsWithTables(folder).length;
    await until(() => objectsWithTables(folder).length < most, "the first deletion");
    let left = 0;
    await scene.value.restart(() => {
      left = objectsWithTables(folder).length;
    });
    expect(left, "the kill came before the last").toBeGreaterThan(0);
    await until(() => objectsWithTables(folder).length === 0, "empty storage");
    for (const token of tokens) {
      const asked = await fetch(`${scene.value.service.origin}/demo/resume`, { headers: { "X-Resume-Token": token } });
      await asked.body?.cancel();
      expect(asked.status).toBe(410);
    }
    return { readers: [first] };
  });
});

function disposable(scene: ChaosScene): AsyncDisposable & { readonly value: ChaosScene } {
  return { value: scene, [Symbol.asyncDispose]: () => scene.end() };
}
