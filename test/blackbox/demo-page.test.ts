/**
 * The demo page as its users see it: `npm start`'s own server, a real browser, nothing in between.
 *
 * Its proof is held against what the test itself knows: the ids in the rows, the demo source's script, and
 * streams that were tampered with on their way to the page.
 */
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";

import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import { demoScript } from "../../upstream/demo-source.ts";
import { tabTo } from "../fixtures/admin-page.ts";
import { openBrowser, startDevServer, type DevServer } from "../fixtures/browser.ts";
import { cutAfter, holdUntilOutgrown } from "../fixtures/demo-flood.ts";

const SCREENSHOTS = resolve(import.meta.dirname, "../../test-results");
const STEP_TIMEOUT_MS = 30_000;
const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
const ROWS_MAX = 200;
/** Long enough to be seen. */
const RETRY_MS = 300;

let server: DevServer;
let browser: Browser;

beforeAll(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  [server, browser] = await Promise.all([startDevServer({ SSE_RETRY_MS: RETRY_MS }), openBrowser()]);
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

/** What a page did that it must not. */
let complaints: string[] = [];
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  const unexpected = takeComplaints();
  if (unexpected.length > 0) throw new Error(`the page complained: ${unexpected.join("; ")}`);
});

describe("the demo page", () => {
  test("goes on at the id it had after a cut, and proves that nothing is missing and nothing came twice", async () => {
    const page = await openPage();
    const aborted = page.waitForEvent("requestfailed");
    await startStream(page, { events: 150, rate: 50 });
    await received(page, 25);
    const resumed = page.waitForRequest((request) => request.url() === `${server.origin}/demo/resume`);
    await cutButton(page).click();

    expect((await aborted).url()).toContain("/demo/stream?");
    expect((await aborted).failure()?.errorText).toBe("net::ERR_ABORTED");
    const position = (await (await resumed).allHeaders())["last-event-id"];
    await note(page, `Connection cut after ${position}`);
    await note(page, `Connection 2: what follows ${position}`);

    expect(await verdict(page)).toBe("proved");
    expect(await headline(page)).toBe("Nothing missing, nothing twice: all 150 events received, over 2 connections.");
    expect(await rowIds(page)).toEqual(idsThrough(150));
    const checksum = demoChecksum(150);
    expect(await proofRows(page)).toEqual([
      ["Events", "150", "150", "yes"],
      ["Missing", "0", "0", "yes"],
      ["Twice", "0", "0", "yes"],
      ["Numbers match ids", "all", "all", "yes"],
      ["Checksum of texts", checksum, checksum, "yes"],
    ]);
    await expect.poll(() => reader(page).locator(".service-side").textContent()).toContain("1 resume,");
    await page.screenshot({ path: join(SCREENSHOTS, "demo-light.png"), fullPage: true });
  });

  test("opens a second reader from the beginning, which is proved on its own", async () => {
    const page = await openPage({ colorScheme: "dark" });
    await startStream(page, { events: 150, rate: 50 });
    await received(page, 40);
    await page.getByRole("button", { name: "Open in a second reader" }).click();
    await received(page, 45, 2);
    await cutButton(page, 1).click();
    for (const number of [1, 2]) {
      expect(await verdict(page, number)).toBe("proved");
      expect(await rowIds(page, number)).toEqual(idsThrough(150));
    }
    expect(await headline(page, 2)).toContain("all 150 events received, over 1 connection.");
    await page.screenshot({ path: join(SCREENSHOTS, "demo-dark.png"), fullPage: true });
  });

  test("opens a second reader from now on, which is owed only what follows", async () => {
    const page = await openPage();
    await startStream(page, { events: 120, rate: 50 });
    await received(page, 40);
    await page.getByLabel("Where the second reader begins").selectOption("now");
    await page.getByRole("button", { name: "Open in a second reader" }).click();
    expect(await verdict(page, 2)).toBe("proved");
    const ids = await rowIds(page, 2);
    const missed = 120 - ids.length;
    expect(missed).toBeGreaterThanOrEqual(40);
    expect(ids).toEqual(idsThrough(120).slice(missed));
    expect(await headline(page, 2)).toContain(`all ${120 - missed} events after 1-${missed} received`);
  });

  test("stops the stream itself, for both readers", async () => {
    const page = await openPage();
    const answered = page.waitForResponse((response) => response.url().includes("/demo/stream?"));
    await startStream(page, { events: 5000, rate: 40 });
    await received(page, 20);
    await page.getByRole("button", { name: "Open in a second reader" }).click();
    await received(page, 20, 2);
    await page.getByRole("button", { name: "Stop the stream" }).click();
    for (const number of [1, 2]) {
      expect(await verdict(page, number)).toBe("short");
      expect(await reader(page, number).locator(".state").textContent()).toBe("Ended: cancelled");
      expect(await headline(page, number)).toMatch(/^The stream was stopped after \d+ events\. All \d+ it sent/);
    }
    const token = (await (await answered).allHeaders())["x-resume-token"] ?? "";
    const status = await fetch(`${server.origin}/demo/status`, { headers: { "X-Resume-Token": token } });
    expect(await status.json()).toMatchObject({ state: "cancelled", reason: "cancelled_by_caller" });
  });

  test("says that the source broke off, after how many events and why", async () => {
    const page = await openPage();
    await startStream(page, { events: 100, rate: 100, fail_at: 40 });
    expect(await verdict(page)).toBe("short");
    expect(await headline(page)).toBe(
      "The source broke off after 40 events (upstream_reset). All 40 it sent were received, none twice, over 1 connection.",
    );
    expect(await rowIds(page)).toEqual(idsThrough(40));
  });

  test("shows the gap that a reader was told of, and counts what is missing", async () => {
    const page = await openPage();
    await page.getByLabel("Example").selectOption({ label: "A flood: one cut outgrows the buffer" });
    await page.locator("[name=rate]").fill("1000");
    await holdUntilOutgrown(page);
    await page.getByRole("button", { name: "Start a stream" }).click();
    await cutAfter(reader(page), 300);
    expect(await verdict(page)).toBe("short");
    const missing = await shownNumber(page, ".missing");
    expect(missing).toBeGreaterThan(0);
    expect(missing + (await shownNumber(page, ".received"))).toBe(3000);
    expect(await headline(page)).toContain(`${missing.toLocaleString("en")} events had left the buffer`);
    expect((await proofRows(page))[1]).toEqual(["Missing", "0", `${missing}, announced`, "no"]);
  });

  test("keeps the page small on a long stream and goes on counting", async () => {
    const page = await openPage();
    await startStream(page, { events: 4000, rate: 4000 });
    expect(await verdict(page)).toBe("proved");
    expect(await shownNumber(page, ".received")).toBe(4000);
    expect(await reader(page).locator(".log > li").count()).toBe(ROWS_MAX);
  });
});

describe("the proof fails, and says why, when", () => {
  const whole = framesOf(10, 10);
  const fourth = whole[3] ?? "";
  const cases = [
    { what: "an event is missing without a word", frames: whole.toSpliced(3, 1), says: "1 event missing without" },
    { what: "an event comes twice", frames: whole.toSpliced(3, 0, fourth), says: "1 event received twice" },
    { what: "the end comes early", frames: framesOf(8, 10), says: "ended after 8 of the 10 events" },
    {
      what: "a text is another than was sent",
      frames: whole.with(3, fourth.replace('"text":"', '"text":"un')),
      says: "do not give the checksum",
    },
    {
      what: "the ids are not the events'",
      frames: whole.with(3, fourth.replace('"n":4', '"n":99')),
      says: "1 event numbered otherwise than by the id",
    },
  ];
  test.each(cases)("$what", async ({ frames, says }) => {
    const page = await openPage();
    await answerWith(page, [...frames, endFrame(frames)].join(""));
    await startStream(page, { events: 10, rate: 0 });
    expect(await verdict(page)).toBe("failed");
    expect(await headline(page)).toMatch(new RegExp(`^The proof failed: .*${says}`));
  });

  test("and holds for the same stream left as it is, with CRLF line ends", async () => {
    const page = await openPage();
    await answerWith(page, [...whole, endFrame(whole)].join("").replaceAll("\n", "\r\n"));
    await startStream(page, { events: 10, rate: 0 });
    expect(await verdict(page)).toBe("proved");
  });
});

describe("the demo page, when the service", () => {
  test("cannot be reached for a while: tries again by itself until it can", async () => {
    const page = await openPage();
    let refusals = 0;
    await page.route("**/demo/resume", (route) =>
      refusals++ < 2 ? route.abort("connectionrefused") : route.continue(),
    );
    await startStream(page, { events: 120, rate: 40 });
    await received(page, 20);
    await cutButton(page).click();
    expect(await verdict(page)).toBe("proved");
    expect(await headline(page)).toContain("over 2 connections");
    await note(page, "Connection lost after");
    expect(takeComplaints()).toEqual(Array(2).fill(expect.stringContaining("ERR_CONNECTION_REFUSED")));
  });

  test("refuses to resume: says that the rest is not known, and claims no proof", async () => {
    const page = await openPage();
    const json = { code: "token_expired", detail: "The resume token has expired." };
    await page.route("**/demo/resume", (route) => route.fulfill({ status: 410, json }));
    await startStream(page, { events: 5000, rate: 40 });
    await received(page, 20);
    await cutButton(page).click();
    expect(await verdict(page)).toBe("short");
    expect(await headline(page)).toContain("Reading ended before the stream did (410 token_expired");
    expect((await proofRows(page))[0]?.[1]).toBe("unknown");
    expect(await page.getByRole("alert").textContent()).toContain("410 token_expired");
    expect(takeComplaints()).toEqual([expect.stringContaining("410")]);
  });

  test("asks for a client key: says so, shows no reader, and sends the key it is then given", async () => {
    const page = await openPage();
    const json = { code: "unauthorized", detail: "Send a client key." };
    await page.route("**/demo/stream?*", (route) => route.fulfill({ status: 401, json }));
    await startStream(page, { events: 10 });
    await expect.poll(() => page.getByRole("alert").textContent()).toContain("401 unauthorized: Send a client key");
    expect(await reader(page).count()).toBe(0);
    await page.getByLabel("Client key").fill("a-key-of-this-test");
    const asked = page.waitForRequest("**/demo/stream?*");
    await page.getByRole("button", { name: "Start a stream" }).click();
    expect((await (await asked).allHeaders())["authorization"]).toBe("Bearer a-key-of-this-test");
    await expect.poll(() => complaints.length).toBe(2);
    expect(takeComplaints()).toEqual(Array(2).fill(expect.stringContaining("401")));
  });
});

describe("the demo page is usable", () => {
  test("on a phone, without scrolling sideways", async () => {
    const page = await openPage(PHONE);
    const scrollWidth = () => page.evaluate(() => document.documentElement.scrollWidth);
    expect(await scrollWidth()).toBe(360);
    await startStream(page, { events: 100, rate: 50, bytes: 400 });
    await received(page, 20);
    await cutButton(page).tap();
    expect(await verdict(page)).toBe("proved");
    expect(await scrollWidth()).toBe(360);
    await page.screenshot({ path: join(SCREENSHOTS, "demo-phone.png"), fullPage: true });
  });

  test("by keyboard alone, without losing the focus", async () => {
    const page = await openPage();
    await tabTo(page, "Start a stream");
    await page.keyboard.press("Enter");
    await received(page, 3);
    await tabTo(page, "Cut the connection");
    await page.keyboard.press("Space");
    await note(page, "Connection cut after");
    await note(page, "Connection 2:");
    expect(await focusedText(page)).toBe("Cut the connection");
    expect(await cutButton(page).evaluate((button) => getComputedStyle(button).outlineStyle)).toBe("solid");
    expect(await verdict(page)).toBe("proved");
    expect(await focusedText(page)).toBe("Cut the connection");
  });

  test("by those who want no motion", async () => {
    const page = await openPage({ reducedMotion: "reduce" });
    await startStream(page, { events: 5000, rate: 20 });
    await received(page, 2);
    const animation = () =>
      reader(page)
        .locator(".state")
        .evaluate((state) => getComputedStyle(state, "::before").animationName);
    expect(await animation()).toBe("none");
    await page.emulateMedia({ reducedMotion: "no-preference" });
    expect(await animation()).toBe("pulse");
    await page.getByRole("button", { name: "Stop the stream" }).click();
    await verdict(page);
  });

  test("only as it was sent: the policy lets no other script run", async () => {
    const page = await openPage();
    const refusal = page.evaluate(
      () =>
        new Promise((resolve) => {
          document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
          const script = document.createElement("script");
          script.textContent = "document.title = 'taken over'";
          document.body.append(script);
        }),
    );
    expect(await refusal).toBe("script-src-elem");
    expect(await page.title()).toContain("Spillway");
    expect(takeComplaints().join()).toContain("Content Security Policy");
  });
});

function takeComplaints(): string[] {
  const taken = complaints;
  complaints = [];
  return taken;
}

async function openPage(options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(STEP_TIMEOUT_MS);
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== server.origin && protocol !== "data:") complaints.push(`asked ${request.url()}`);
  });
  await page.goto(`${server.origin}/`);
  return page;
}

async function startStream(page: Page, query: Record<string, number>): Promise<void> {
  for (const [name, value] of Object.entries(query)) await page.locator(`[name=${name}]`).fill(String(value));
  await page.getByRole("button", { name: "Start a stream" }).click();
}

/** Puts another stream in place of the service's. */
async function answerWith(page: Page, body: string): Promise<void> {
  await page.route("**/demo/stream?*", (route) => route.fulfill({ contentType: "text/event-stream", body }));
}

function reader(page: Page, number = 1): Locator {
  return page.getByRole("region", { name: `Reader ${number}`, exact: true });
}

function cutButton(page: Page, number = 1): Locator {
  return reader(page, number).getByRole("button", { name: "Cut the connection" });
}

async function shownNumber(page: Page, selector: string, number = 1): Promise<number> {
  return Number((await reader(page, number).locator(selector).textContent())?.replaceAll(",", ""));
}

async function received(page: Page, events: number, number = 1): Promise<void> {
  await expect
    .poll(() => shownNumber(page, ".received", number), { timeout: STEP_TIMEOUT_MS })
    .toBeGreaterThanOrEqual(events);
}

async function note(page: Page, text: string): Promise<void> {
  const notes = reader(page).locator(".note");
  await expect
    .poll(() => notes.allTextContents(), { timeout: STEP_TIMEOUT_MS })
    .toContainEqual(expect.stringContaining(text));
}

async function verdict(page: Page, number = 1): Promise<string | null> {
  await reader(page, number).locator(".proof table").waitFor();
  return reader(page, number).getAttribute("data-verdict");
}

function headline(page: Page, number = 1): Promise<string | null> {
  return reader(page, number).locator(".headline").textContent();
}

function proofRows(page: Page): Promise<string[][]> {
  return reader(page)
    .locator(".proof tbody tr")
    .evaluateAll((rows) => rows.map((row) => Array.from(row.children, (cell) => cell.textContent ?? "")));
}

function rowIds(page: Page, number = 1): Promise<string[]> {
  return reader(page, number).locator(".log .id").allTextContents();
}

function focusedText(page: Page): Promise<string> {
  return page.evaluate(() => document.activeElement?.textContent ?? "");
}

function idsThrough(last: number): string[] {
  return Array.from({ length: last }, (_, index) => `1-${index + 1}`);
}

/** The demo source's own events, framed as the service frames them. */
function framesOf(count: number, events: number): string[] {
  const script = demoScript({ events, bytes: 0, failAt: undefined, seed: 1, stages: 0 });
  return [...script].slice(0, count).map((frame, index) => `id: 1-${index + 1}\n${frame}`);
}

function demoChecksum(events: number): string {
  return /"checksum":"([\da-f]+)"/.exec(framesOf(events, events).at(-1) ?? "")?.[1] ?? "";
}

function endFrame(frames: readonly string[]): string {
  const lastId = /^id: (.*)$/m.exec(frames.at(-1) ?? "")?.[1] ?? "";
  return `id: ${lastId}\nevent: end\ndata: ${JSON.stringify({ status: "complete", last_id: lastId })}\n\n`;
}
