/**
 * A REST catalog that fails in its ways while streams run: they do not notice, and whatever it has done or not done with
 * a commit, every row of their telemetry is in its table once.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { startBreakingProxy, type BreakingProxy } from "../fixtures/breaking-proxy.ts";
import { callAdmin, numberedEvents, sendEvents } from "../fixtures/lake-client.ts";
import { seededRandom } from "../fixtures/process-random.ts";
import { until } from "../fixtures/process-reader.ts";
import { startCatalogServer, type CatalogFault, type CatalogServer } from "../fixtures/rest-catalog-server.ts";
import { QUICK_ALERTS, untilFired, untilResolved } from "./faults/alerts.ts";
import { readFromCatalog, restCatalogVars, TABLE_LOCATION } from "./faults/catalog.ts";
import { ChaosScene, perform } from "./scene.ts";

/** Longer than the lake waits for an answer (30 s). */
const FAULTS_DEADLINE_MS = 60_000;

const random = seededRandom("catalog failures");
let catalog: CatalogServer;
let proxy: BreakingProxy;
let scene: ChaosScene;
beforeAll(async () => {
  catalog = await startCatalogServer({ tableLocation: TABLE_LOCATION });
  proxy = await startBreakingProxy(catalog.uri);
  scene = await ChaosScene.begin({ vars: { ...QUICK_ALERTS, ...restCatalogVars(proxy.origin) } });
  readFromCatalog(scene, catalog);
});
afterAll(async () => {
  await scene.end();
  await proxy.stop();
  await catalog.stop();
});

const times = (count: number, fault: CatalogFault) => Array.from({ length: count }, () => fault);
const error = (status: number) => ({ status, body: JSON.stringify({ error: { message: "chaos", code: status } }) });

const commits = () => catalog.calls.filter(({ operation }) => operation === "commit").length;

test.each([
  { what: "answers 503", faults: times(6, { how: error(503) }) },
  { what: "refuses every commit for a conflict", faults: times(12, { how: error(409) }) },
  { what: "has committed and says 500", faults: times(1, { how: error(500), isApplied: true }) },
  { what: "has committed and breaks the connection", faults: times(1, { how: "reset", isApplied: true }) },
  { what: "answers nonsense, now with and now without having committed", faults: nonsense() },
  { what: "has committed and never answers", faults: times(1, { how: "hang", isApplied: true }) },
])("a catalog that $what: streams are whole, their rows in the table once", async ({ faults }) => {
  // By itself the lake waits longer after each failure.
  const isTriedAgain = async (count: number) => {
    if (commits() < count) await (await callAdmin(scene.service, "flush")).arrayBuffer();
    return commits() >= count;
  };
  await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
    const { source, first } = stream;
    catalog.fail("commit", ...faults);
    const before = commits();
    source.send(random.int(5, 50));
    await first.untilSeq(source.sent.length);
    first.cut();
    await stream.untilReaders(0);
    await first.resume();
    await until(() => commits() > before, "a commit that meets the fault");
    source.send(random.int(5, 50));
    source.end();
    await first.untilEnd();
    await until(() => isTriedAgain(before + faults.length), "commits that meet all faults", FAULTS_DEADLINE_MS);
    return { readers: [first] };
  });
});

test("a catalog that cannot be read for a while: operators are told, and told when it is over", async () => {
  await perform(scene, { seed: random.int(1, 1e6) }, async (stream) => {
    const { source, first } = stream;
    source.send(20);
    source.end();
    await first.untilEnd();
    const handedOver = await callAdmin(scene.service, `flush?request_id=${stream.requestId}`);
    expect(handedOver.status, await handedOver.text()).toBe(200);
    // Cuts each answer after its first byte.
    proxy.cutAfter(1);
    try {
      await sendEvents(scene.service, numberedEvents("/chaos/catalog", 100));
      await untilFired(scene.service, "CatalogFailing");
    } finally {
      proxy.cutAfter(0);
    }
    return { readers: [first] };
  });
  await expect(untilResolved(scene.service, "CatalogFailing")).resolves.toBeUndefined();
});

function nonsense(): CatalogFault[] {
  return [true, false, true].map((isApplied) => ({ how: "garbage", isApplied }));
}
