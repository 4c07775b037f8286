/**
 * `rotate`: changes the secret that signs resume tokens, without a token dying of it.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { createKeyRing } from "../../protocol/resume-token.ts";
import type { Command, CommandContext } from "../cli/command.ts";
import { CommandFailure, EXIT, failure, usageFailure, type ExitCode } from "../cli/exit-codes.ts";
import { duration } from "../cli/units.ts";
import { DevVarsStore } from "./dev-vars-store.ts";
import { checkKeeping, fileToKeep, keepSecret } from "./kept-secret.ts";
import { probe } from "./probe.ts";
import {
  confirmPresent,
  turnBack,
  walk,
  type RotationEvent,
  type RotationOptions,
  type RotationOutcome,
  type RotationPorts,
} from "./rotation.ts";
import type { SecretStore, StoredSecrets } from "./secret-store.ts";
import { openSignerCheck } from "./signer-check.ts";
import { lock, readState, removeState, STATE_FILE, writeState, type RotationState } from "./state-file.ts";
import { checkTarget, folderOf, heedOptions, LOCAL, originOf, readSurroundings } from "./surroundings.ts";
import { planText, statusOf, statusText, stepTitle, type Fingerprints } from "./texts.ts";
import { WranglerStore } from "./wrangler-store.ts";

const SECRET_BYTES = 32;
/** Nothing is on its way yet that would be worth waiting for, but for a service that is just starting. */
const PRESENT_TIMEOUT_MS = 45_000;
const WRANGLER_TIMEOUT_MS = 60_000;
const MODES = ["gradual", "immediate", "rollback", "status"] as const;
type Mode = (typeof MODES)[number];

export const ROTATE: Command = {
  name: "rotate",
  summary: "change the secret that signs resume tokens",
  options: {
    gradual: { type: "boolean", help: "begin, or go on: add as verifier, promote to signer, retire the old one" },
    immediate: { type: "boolean", help: "after a leak: promote now and drop the old one; its tokens die" },
    rollback: { type: "boolean", help: "back to the old secret, from any step" },
    status: { type: "boolean", help: "where a rotation is" },
    "dry-run": { type: "boolean", help: "print what would be done; checks the service, changes nothing" },
    wait: { type: "boolean", help: "stay until the last tokens are over; so by itself" },
    "no-wait": { type: "boolean", help: "end before that wait, with exit code 5; run it again later" },
    env: { type: "string", value: "NAME", help: "environment of wrangler.jsonc; local (.dev.vars) where not given" },
    route: { type: "string", value: "ROUTE", help: "a route of it, for the probes; else the first of wrangler.jsonc" },
    "token-life-sec": {
      type: "string",
      value: "N",
      help: "life of its tokens; else SSE_RESUME_TTL_SEC of wrangler.jsonc",
    },
    "margin-sec": { type: "string", value: "N", help: "waited on top; 5, and 300 where deployed" },
    "current-secret-file": {
      type: "string",
      value: "FILE",
      help: "the present secret, where deployed; else SPILLWAY_CURRENT_RESUME_SECRET",
    },
    "save-secret": {
      type: "string",
      value: "FILE",
      help: "keeps the new secret there, for the next rotation; needed where deployed",
    },
    force: { type: "boolean", help: "replace the file of --save-secret, unless the present secret is in it" },
    "replace-previous": {
      type: "boolean",
      help: "drop the SSE_RESUME_SECRET_PREVIOUS that is set: its tokens are over",
    },
    rounds: { type: "string", value: "N", help: "checks in a row that must agree; 5, and 20 where deployed" },
    "timeout-sec": { type: "string", value: "N", help: "how long a step may take to be confirmed; 180" },
    "interval-ms": { type: "string", value: "N", help: "pause between checks; 250, and 1000 where deployed" },
    folder: { type: "string", value: "FOLDER", help: "where wrangler.jsonc and .dev.vars are" },
    yes: { type: "boolean", help: "confirms --immediate" },
  },
  notes: [
    "Each step is set, then checked against the running service by tokens of both secrets, and only then",
    "follows the next. A run that ends early, also by kill -9, is gone on with by the same command;",
    `${STATE_FILE} remembers. Each of the three changes restarts the service's objects, as a deployment does.`,
    "Exit code 1: a step was not confirmed; the output says what to do. docs/cli.md, Key rotation.",
  ].join("\n"),
  examples: [
    "npm run rotate -- --gradual --dry-run",
    "npm run rotate -- --gradual",
    "npm run rotate -- --gradual --env production --url https://stream.example.com --current-secret-file ~/old.txt --save-secret ~/new.txt",
    "npm run rotate -- --rollback",
  ],
  run: rotate,
};

async function rotate(context: CommandContext): Promise<ExitCode> {
  const { values, terminal } = context;
  const modes = MODES.filter((mode) => values.flag(mode));
  const [mode] = modes;
  if (mode === undefined || modes.length > 1)
    throw usageFailure(`Give one of ${MODES.map((name) => `--${name}`).join(", ")}.`);
  if (values.flag("wait") && values.flag("no-wait")) throw usageFailure("Give --wait or --no-wait, not both.");
  const path = join(folderOf(context), STATE_FILE);
  if (mode === "status") {
    const state = readState(path);
    const report = statusOf(state, state && (await fingerprints(state)));
    terminal.result(report, () => statusText(report));
    return EXIT.ok;
  }
  if (values.flag("dry-run")) return plan(await stateFor(mode, path, context), context);
  const unlock = lock(path);
  try {
    return await perform(await stateFor(mode, path, context), path, context);
  } finally {
    unlock();
  }
}

/** The rotation that is to be walked: the one under way, turned round where asked for, or a new one. */
async function stateFor(mode: Mode, path: string, context: CommandContext): Promise<RotationState> {
  const state = readState(path);
  for (const secret of [state?.secrets.oldSecret, state?.secrets.newSecret]) context.terminal.hide(secret ?? "");
  // One that is unfinished goes on with its own new secret: it may sign already.
  const isBegun = state !== undefined && (mode !== "immediate" || state.step === "replace");
  if (!isBegun) {
    if (mode === "rollback") throw failure("No rotation is under way: there is nothing to go back from.");
    return begin(mode, { underWay: state, path }, context);
  }
  const heeded = heedOptions(state, context);
  if (mode === "immediate") return heeded;
  if (mode === "gradual") {
    if (state.direction === "back") throw failure("A rollback is under way: go on with --rollback.");
    return heeded;
  }
  const back = turnBack(heeded);
  if (back === undefined)
    throw failure("After --immediate there is no way back: the old secret may be in other hands.");
  return back;
}

interface Before {
  readonly underWay: RotationState | undefined;
  /** Of the state. */
  readonly path: string;
}

async function begin(mode: Mode, { underWay, path }: Before, context: CommandContext): Promise<RotationState> {
  const { values, terminal, host } = context;
  if (underWay !== undefined) checkTarget(underWay, context);
  const { folder: _, ...surroundings } = await readSurroundings(context);
  // Of a rotation under way the store may not know what signs; the new secret is a third one in any case.
  const stored = underWay === undefined ? await readStore(mode, surroundings.target, context) : undefined;
  // After a leak it need not be known: it is dropped, whatever it is.
  const oldSecret = stored?.signing ?? underWay?.secrets.oldSecret ?? randomBytes(SECRET_BYTES).toString("base64url");
  const newSecret = randomBytes(SECRET_BYTES).toString("base64url");
  for (const secret of [oldSecret, newSecret]) terminal.hide(secret);
  const hasPrevious = stored?.names.has("SSE_RESUME_SECRET_PREVIOUS") === true;
  if (mode === "gradual" && hasPrevious && !values.flag("replace-previous")) {
    throw failure(
      "SSE_RESUME_SECRET_PREVIOUS is set: tokens of that secret may still live, and would die. Wait a token life from when it was set; then give --replace-previous.",
    );
  }
  const state: RotationState = {
    version: 1,
    ...surroundings,
    secrets: {
      oldSecret,
      newSecret,
      isOldFallback:
        stored === undefined ? underWay?.secrets.isOldFallback === true : !stored.names.has("SSE_RESUME_SECRET"),
      pinsIdempotency:
        stored === undefined ? underWay?.secrets.pinsIdempotency === true : !stored.names.has("HMAC_SECRET"),
    },
    direction: "forward",
    step: mode === "immediate" ? "replace" : "add",
    startedAt: new Date(host.nowMs()).toISOString(),
    keepIn: fileToKeep(context),
  };
  const check = async () => {
    checkKeeping(state, path, context);
    if (mode === "gradual") await checkPresent(state, context, hasPrevious);
  };
  await (values.flag("dry-run") ? noteWhatStops(check, context) : check());
  return state;
}

async function readStore(mode: Mode, target: string, context: CommandContext): Promise<StoredSecrets> {
  try {
    const stored = await storeOf(target, context).read();
    const isNeeded = mode === "gradual" || !stored.names.has("HMAC_SECRET");
    if (stored.signing === undefined && isNeeded) {
      throw usageFailure(
        "Cloudflare gives no secret back: give the present one with --current-secret-file, or in SPILLWAY_CURRENT_RESUME_SECRET.",
      );
    }
    return stored;
  } catch (error) {
    if (!(error instanceof CommandFailure) || !context.values.flag("dry-run")) throw error;
    context.terminal.note(`The store cannot be read: ${error.message}`);
    return { signing: undefined, names: new Set(["SSE_RESUME_SECRET", "HMAC_SECRET"]) };
  }
}

/** A plan is of use also where the rotation would not begin as things are. */
async function noteWhatStops(check: () => Promise<void>, context: CommandContext): Promise<void> {
  try {
    await check();
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    context.terminal.note(`As things are it would not begin. ${error.message}`);
  }
}

/** P1 begins here: what the store says, and what the service verifies, have to be the same. */
async function checkPresent(state: RotationState, context: CommandContext, hasPrevious: boolean): Promise<void> {
  context.terminal.progress("checking the present secret …");
  const options = optionsFrom(context, state);
  const { confirming } = options;
  const ports = await portsOf(state, context, () => undefined);
  // Both verify then: the wrong one would be taken for the signer, and the signer dropped.
  if (hasPrevious && ports.checkSigner === undefined) {
    throw failure(
      "SSE_RESUME_SECRET_PREVIOUS is set: only with an admin token is it seen which secret signs. Nothing was changed.",
    );
  }
  const confirmation = await confirmPresent(
    state.secrets.oldSecret,
    { ...options, confirming: { ...confirming, timeoutMs: Math.min(confirming.timeoutMs, PRESENT_TIMEOUT_MS) } },
    ports,
  );
  context.terminal.endProgress();
  if (confirmation.ok) return;
  const { place, adviceIfUnseen } = storeOf(state.target, context);
  throw failure(
    `Nothing was changed. The service at ${state.origin} does not verify by the secret in ${place}: ${confirmation.why}. ${adviceIfUnseen}`,
  );
}

async function plan(state: RotationState, { terminal }: CommandContext): Promise<ExitCode> {
  const kids = await fingerprints(state);
  terminal.result(
    { dry_run: true, ...statusOf(state, kids) },
    () => `${planText(state, kids)}\n\nNothing was changed.`,
  );
  return EXIT.ok;
}

async function perform(begun: RotationState, path: string, context: CommandContext): Promise<ExitCode> {
  const { terminal } = context;
  if (begun.step === "replace") await askAboutTokens(context);
  const state = keepSecret(begun, path, context);
  const ports: RotationPorts = {
    ...(await portsOf(state, context, (text) => terminal.note(text))),
    store: storeOf(state.target, context),
    save: (changed) => writeState(path, changed),
    forget: () => removeState(path),
    tell: (event) => tell(event, context),
  };
  const outcome = await walk(state, optionsFrom(context, state), ports);
  const kids = await fingerprints(state);
  terminal.endProgress();
  const { under_way: _, ...status } = statusOf(outcome.state, kids);
  const report = { outcome: outcome.kind, ...status, ...("why" in outcome ? { why: outcome.why } : {}) };
  terminal.result(report, () => outcomeText(outcome, kids, ports.store));
  return { done: EXIT.ok, waiting: EXIT.partial, unconfirmed: EXIT.failed }[outcome.kind];
}

async function askAboutTokens({ terminal, values }: CommandContext): Promise<void> {
  terminal.note(
    "Every resume token that is out dies now: readers can read on as long as they stay connected, and not resume.",
  );
  if (values.flag("yes")) return;
  if (!terminal.isInteractive) throw usageFailure("Nobody is there to be asked: give --yes.");
  if ((await terminal.ask('Type "yes" to go on: ')) !== "yes") throw failure("Not confirmed: nothing was changed.");
}

function tell(event: RotationEvent, { terminal }: CommandContext): void {
  switch (event.kind) {
    case "setting":
      return terminal.note(stepTitle(event.state));
    case "round": {
      const fault = event.lastFault === undefined ? "" : `; ${event.lastFault}`;
      return terminal.progress(`${event.state.step}: ${event.agreed} of ${event.of} checks in a row agree${fault}`);
    }
    case "confirmed":
      return terminal.note(`${event.state.step}: confirmed`);
    case "waiting":
      return terminal.progress(
        `${event.state.step}: waiting ${duration(event.leftMs)}; may be interrupted and run again`,
      );
  }
}

function outcomeText(outcome: RotationOutcome, kids: Fingerprints, store: SecretStore): string {
  const { state } = outcome;
  const environment = state.target === LOCAL ? "" : ` --env ${state.target}`;
  const command = `${state.direction === "back" ? "--rollback" : "--gradual"}${environment}`;
  switch (outcome.kind) {
    case "done":
      return state.direction === "back"
        ? `Rolled back: ${kids.old} signs.`
        : `Done: ${kids.new} signs, ${kids.old} is gone.`;
    case "waiting":
      return `Both secrets verify. Run "npm run rotate -- ${command}" again from ${new Date(outcome.untilMs).toISOString()} on, for the last step.`;
    case "unconfirmed":
      return [
        `Step "${state.step}" is not confirmed: ${outcome.why}.`,
        `Nothing further is done. ${store.adviceIfUnseen}`,
        state.step === "replace" ? "" : `To go back instead: npm run rotate -- --rollback${environment}`,
      ]
        .filter(Boolean)
        .join("\n");
  }
}

function storeOf(target: string, context: CommandContext): SecretStore {
  const folder = folderOf(context);
  if (target === LOCAL) return new DevVarsStore(folder);
  const { values, host, signal } = context;
  const currentSecret = () => {
    const file = values.text("current-secret-file");
    if (file !== undefined) return readFileSync(resolve(file), "utf8").trim() || undefined;
    return host.env["SPILLWAY_CURRENT_RESUME_SECRET"] || undefined;
  };
  return new WranglerStore({
    folder,
    environment: target,
    env: host.env,
    currentSecret,
    signal,
    timeoutMs: WRANGLER_TIMEOUT_MS,
  });
}

async function portsOf(
  { origin, route, target }: RotationState,
  context: CommandContext,
  note: (text: string) => void,
) {
  const { host, signal, values } = context;
  // A service that has moved, on this machine say, may be named anew.
  const isNamed = values.text("url") !== undefined;
  const place = {
    origin: isNamed ? originOf(context, target === LOCAL) : origin,
    route,
    fetch: host.fetch,
    nowMs: host.nowMs,
    signal,
  };
  return {
    probe: (secret: string) => probe(secret, place),
    checkSigner: await openSignerCheck(context, place.origin, note),
    strangeSecret: randomBytes(SECRET_BYTES).toString("base64url"),
    nowMs: host.nowMs,
    wait: (ms: number) => host.wait(ms, signal),
  };
}

function optionsFrom({ values }: CommandContext, { target }: RotationState): RotationOptions {
  const isLocal = target === LOCAL;
  return {
    waits: !values.flag("no-wait"),
    confirming: {
      rounds: values.wholeNumber("rounds", 1, 1000) ?? (isLocal ? 5 : 20),
      timeoutMs: (values.wholeNumber("timeout-sec", 1, 3600) ?? 180) * 1000,
      intervalMs: values.wholeNumber("interval-ms", 1, 60_000) ?? (isLocal ? 250 : 1000),
    },
  };
}

/** What tokens name their key by: public. */
async function fingerprints({ secrets }: RotationState): Promise<Fingerprints> {
  const [old, fresh] = await Promise.all([createKeyRing(secrets.oldSecret), createKeyRing(secrets.newSecret)]);
  return { old: old.keys[0].kid, new: fresh.keys[0].kid };
}
