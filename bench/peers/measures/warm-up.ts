/**
 * The first events through a fresh instance: so that what is measured has run before, and to learn how much
 * can be asked of it.
 */
import { filledStream, flow, secondsBetween, type Scene } from "./scene.ts";

const EVENTS = 2000;
const LIMIT_MS = 2500;
const REPLAYS = 20;
const REPLAYED_EVENTS = 256;
const REPLAY_LIMIT_MS = 2000;

export async function warmUp(scene: Scene): Promise<void> {
  const { read, beganAtUs } = await flow(scene, { streams: 1, events: EVENTS, rate: 0, limitMs: LIMIT_MS }, 1);
  if (read.events > 0) scene.memo.ratePerSec = read.events / secondsBetween(beganAtUs, read.lastAtUs);
  if (scene.system.facts.cannot.includes("replay")) return;
  const { stream } = await filledStream(scene, REPLAYED_EVENTS);
  const job = { request: stream.readFromStart(), events: REPLAYED_EVENTS, repetitions: REPLAYS };
  await scene.load.replay({ kind: "replay", ...job, limitMs: REPLAY_LIMIT_MS });
}
