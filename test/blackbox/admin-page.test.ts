/**
 * The operators' page as operators use it: a browser, the whole service behind it, nothing in between. How it can be
 * used by everybody, and what its policy keeps out: admin-page-access.test.ts.
 */
import { readFile } from "node:fs/promises";

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import {
  agree,
  AdminBrowser,
  figure,
  HOSTILE,
  letterOf,
  lookAgain,
  outcome,
  rowsOf,
  screenshot,
  setHidden,
  signIn,
  TOKEN,
  untilFigure,
  untilLetters,
  untilSaid,
  untilShown,
} from "../fixtures/admin-page.ts";
import { lakeStatus, numberedEvents, sendEvents } from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { readStream, resumeStream } from "../fixtures/sse-reading.ts";
import { startUpstream, type Upstream } from "../fixtures/upstream.ts";

let service: LakeService;
/** With a pipeline that refuses what is too large: such an event is a dead letter. */
let piped: LakeService;
let pipeline: Upstream;
let browser: AdminBrowser;

beforeAll(async () => {
  pipeline = await startUpstream();
  pipeline.handle((_, response) => void response.end());
  const vars = { ICEBERG_SHARDS: 1, ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000 };
  [service, piped, browser] = await Promise.all([
    startLakeService({ vars }),
    startLakeService({ pipelineUrl: pipeline.origin, vars: { ...vars, ANALYTICS_SINK: "pipelines" } }),
    AdminBrowser.open(),
  ]);
});

afterAll(async () => {
  await browser?.close();
  await Promise.all([service?.stop(), piped?.stop()]);
  await pipeline?.stop();
});

afterEach(() => browser.endTest());

describe("signing in", () => {
  test("says that a token is wrong, and lets another one be tried", async () => {
    const page = await browser.openPage(service, { isSignedOut: true });
    await page.getByLabel("Admin token").fill("not-a-token-of-this-service");
    await page.getByRole("button", { name: "Sign in" }).click();
    await untilSaid(page, /^This is not a token of this service\.$/);
    expect(await page.getByLabel("Admin token").inputValue()).toBe("");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("token");
    await screenshot(page, "signed-out");
    await signIn(page);
    expect(await page.locator("#actor").textContent()).toBe("admin");
  });

  test("keeps the token in nothing that a script can read, and outlives a reload", async () => {
    const page = await browser.openPage(service);
    const readable = () =>
      page.evaluate(() =>
        [
          location.href,
          document.cookie,
          document.documentElement.outerHTML,
          JSON.stringify(localStorage),
          JSON.stringify(sessionStorage),
        ].join("\n"),
      );
    expect(await readable()).not.toContain(TOKEN);
    expect(await page.getByLabel("Admin token").inputValue()).toBe("");
    const [cookie] = await page.context().cookies(`${service.origin}/admin`);
    expect(cookie).toMatchObject({ name: "spillway_admin", httpOnly: true, sameSite: "Strict", path: "/admin" });
    expect(cookie?.value).not.toContain(TOKEN);
    await page.reload();
    await page.locator("#connection[data-state=live]").waitFor();
    expect(await readable()).not.toContain(TOKEN);
  });

  test("ends with signing out: neither the page nor the browser holds anything any more", async () => {
    const page = await browser.openPage(service);
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Admin token").waitFor();
    expect(await page.context().cookies(`${service.origin}/admin`)).toEqual([]);
    expect(await page.locator("#figures > div").first().innerText()).not.toMatch(/\d/);
  });

  test("is asked for again when the session is over, and nothing of what was shown stays", async () => {
    const page = await browser.openPage(service);
    await untilShown(page, () => rowsOf(page, "Shards").count(), 1);
    await page.context().clearCookies();
    await lookAgain(page);
    await untilSaid(page, /^The session is over\. Sign in again\.$/);
    expect(await page.locator("#console").isVisible()).toBe(false);
    expect(await page.content()).not.toContain("shard-0");
    expect(browser.takeComplaints().join()).toContain("401");
  });

  test("is asked for again when the session ends under what is under way, of which it says what came", async () => {
    const page = await browser.openPage(service);
    await page.route("**/admin/buffer/replay", async (route) => {
      await page.context().clearCookies();
      await route.fulfill({ status: 401, json: { code: "unauthorized", detail: "Send a token." } });
    });
    const buffer = Buffer.from('{"shard":"0-a","seq":1,"event":{}}\n');
    await page.locator("#replay-file").setInputFiles({ name: "one.ndjson", mimeType: "text/plain", buffer });
    await agree(page, page.getByRole("button", { name: "Replay", exact: true }));
    await untilSaid(page, /^The session is over\. Sign in again\. Replay failed\. Send a token\. \(401 unauthorized\)/);
    await signIn(page);
    await page.context().clearCookies();
    await page.reload();
    await page.getByLabel("Admin token").waitFor();
    expect(await page.locator("#sign-in-problem").textContent()).toBe("");
    expect(browser.takeComplaints().join()).toContain("401");
  });
});

describe("the page, without being loaded again,", () => {
  test("shows streams that start, a resume, and the stream's timeline", async () => {
    const page = await browser.openPage(service);
    await page.evaluate(() => (document.title = "not loaded again"));
    const before = Number(await figure(page, "Active streams"));
    const reading = await readStream(`${service.origin}/demo/stream?events=100000&rate=50`);
    await untilFigure(page, "Active streams", new RegExp(`^${before + 1}$`));
    const opener = page.getByRole("button", { name: reading.requestId });
    await untilShown(page, () => opener.count(), 1);

    await reading.untilContent(3);
    reading.cut();
    const resumed = await resumeStream(`${service.origin}/demo/resume`, reading.token, "1-3");
    await opener.click();
    const timeline = rowsOf(page, /^Timeline/);
    const resumeIsTold = expect.arrayContaining([expect.stringContaining("SseResumeSuccess")]);
    await untilShown(page, () => timeline.allInnerTexts(), resumeIsTold);
    await untilFigure(page, "Resume attempts", /[1-9]/);
    expect(await page.title()).toBe("not loaded again");
    await screenshot(page, "stream");
    resumed.cut();
  });
});

describe("the page acts:", () => {
  test("a flush is asked about, done, told and seen", async () => {
    await sendEvents(service, numberedEvents("/flushed", 25));
    const page = await browser.openPage(service);
    const asked = await agree(page, page.getByRole("button", { name: "Flush all shards" }));
    expect(asked).toContain("Flush all shards?");
    expect(await outcome(page, /^Flush: /)).toMatch(/^Flush: [\d,]+ events written to 1 file, [\d,]+ rows committed/);
    const isSome = expect.arrayContaining([expect.anything()]);
    for (const list of [/^Flushes/, /^Commits/]) {
      await untilShown(page, () => rowsOf(page, list).allInnerTexts(), isSome);
    }
    const isAudited = expect.arrayContaining([expect.stringMatching(/admin\s+flush/)]);
    await untilShown(page, () => rowsOf(page, /^Audit/).allInnerTexts(), isAudited);
  });

  test("nothing is done where the dialog is left", async () => {
    const page = await browser.openPage(service);
    const sent: string[] = [];
    page.on("request", (request) => request.method() === "POST" && sent.push(request.url()));
    for (const name of ["Flush all shards", "Compact", "Expire snapshots", "Send a test alert"]) {
      await page.getByRole("button", { name }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Leave it" }).click();
      await page.getByRole("button", { name }).click();
      await page.keyboard.press("Escape");
    }
    expect(sent).toEqual([]);
    expect(await page.locator("#outcome").isVisible()).toBe(false);
  });

  test("one question stands alone: what comes up meanwhile is not asked, and not done with it", async () => {
    await sendEvents(service, numberedEvents("/asked", 5));
    const page = await browser.openPage(service);
    const sent: string[] = [];
    page.on("request", (request) => {
      if (request.method() === "POST") sent.push(`${request.url()} ${request.postData()}`);
    });
    const answer = Promise.withResolvers<void>();
    await page.route("**/admin/buffer/reset?*", async (route) => {
      await answer.promise;
      await route.continue();
    });
    const reset = page.getByRole("button", { name: "Reset shard-0" });
    await reset.click();
    await page.getByRole("button", { name: "Expire snapshots" }).click();
    const dialog = page.getByRole("dialog");
    const asked = await dialog.innerText();
    expect(asked).toContain("Expire snapshots?");
    const named = page.waitForResponse("**/admin/buffer/reset?*");
    answer.resolve();
    await named;
    await expect.poll(() => reset.getAttribute("aria-disabled"), { timeout: 20_000 }).toBe("false");
    expect(await dialog.innerText()).toBe(asked);
    expect(await page.locator("#outcome-bad").textContent()).toMatch(/^Reset of shard-0 failed\. Another question was/);
    await dialog.getByRole("button", { name: "Expire", exact: true }).click();
    await outcome(page, /^Expiry/);
    expect(sent).toEqual([
      `${service.origin}/admin/buffer/reset?shard=0 {}`,
      `${service.origin}/admin/expire-snapshots?keep=100 null`,
    ]);
    expect(await dialog.isVisible()).toBe(false);
    expect(browser.takeComplaints().join()).toContain("409");
  });

  test.each([
    ["is taken back where the session ends while it is open", "before"],
    ["is not asked where the session has ended when it comes up", "after"],
  ] as const)("a question %s", async (_, when) => {
    const page = await browser.openPage(service);
    const answer = Promise.withResolvers<void>();
    if (when === "before") answer.resolve();
    await page.route("**/admin/buffer/reset?*", async (route) => {
      const response = await route.fetch();
      await answer.promise;
      await route.fulfill({ response });
    });
    const reset = page.getByRole("button", { name: "Reset shard-0" });
    const reached = page.waitForRequest("**/admin/buffer/reset?*");
    await reset.click();
    await reached;
    const dialog = page.getByRole("dialog");
    if (when === "before") await dialog.waitFor();
    await page.context().clearCookies();
    await lookAgain(page);
    if (when === "after") await untilSaid(page, /^The session is over\. What is under way has to end first\.$/);
    answer.resolve();
    await untilSaid(page, /^The session is over\. Sign in again\.$/);
    expect(await dialog.isVisible()).toBe(false);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("token");
    expect(browser.takeComplaints().join()).toContain("401");
  });

  test("a stream is cancelled, and its reader told by whom", async () => {
    const reading = await readStream(`${service.origin}/demo/stream?events=100000&rate=50`);
    const page = await browser.openPage(service);
    await page.getByLabel("Request id").fill(reading.requestId);
    await page.getByRole("button", { name: "Look up" }).click();
    const asked = await agree(page, page.getByRole("button", { name: "Cancel the stream" }));
    expect(asked).toContain(reading.requestId);
    await outcome(page, /^Cancellation: the stream is cancelled after \d+ events?\.$/);
    await reading.toEnd();
    expect(reading.control("end")).toMatchObject([{ status: "cancelled", reason: "cancelled_by_operator" }]);
    expect(await page.locator("#inspection").innerText()).toContain("cancelled: cancelled_by_operator");
    expect(await page.getByRole("button", { name: "Cancel the stream" }).isVisible()).toBe(false);
  });

  test("a request id that nobody knows is said to be unknown", async () => {
    const page = await browser.openPage(service);
    await page.getByLabel("Request id").fill("req-unknown");
    await page.getByRole("button", { name: "Look up" }).click();
    await page.locator("#search-problem", { hasText: /^No stream req-unknown is known/ }).waitFor();
    expect(browser.takeComplaints().join()).toContain("404");
  });

  test("an export is whole, a reset asks for what the service names, and a replay brings everything back", async () => {
    await sendEvents(service, numberedEvents("/exported", 1500));
    const page = await browser.openPage(service);
    const coming = page.waitForEvent("download");
    await page.getByRole("button", { name: "Export shard-0" }).click();
    const file = await (await coming).path();
    await outcome(page, /checksum verified\.$/);
    const lines = (await readFile(file, "utf8")).trim().split("\n");
    expect(lines.filter((line) => line.includes("/exported"))).toHaveLength(1500);

    const asked = await agree(page, page.getByRole("button", { name: "Reset shard-0" }));
    expect(asked).toMatch(/Reset shard-0\?[\s\S]*Type 0-\S+ \d+ to go on/);
    await outcome(page, /^Reset of shard-0: [\d,]+ events .* written to exports\//);
    expect(browser.takeComplaints().join()).toContain("409");
    const { shards } = await lakeStatus(service);
    expect(shards[0]?.events).toBeLessThan(1500);

    await page.locator("#replay-file").setInputFiles(file);
    await agree(page, page.getByRole("button", { name: "Replay", exact: true }));
    expect(await outcome(page, /^Replay: /)).toMatch(/[\d,]+ taken, \d+ there already, 0 refused\.$/);
    const after = await lakeStatus(service);
    expect(after.shards[0]?.events).toBeGreaterThanOrEqual(1500);
  });

  test("a damaged export is not replayed", async () => {
    const page = await browser.openPage(service);
    const text = '{"shard":"0-a","seq":1,"event":{}}\n{"end":{"events":1,"sha256":"00"}}\n';
    await page
      .locator("#replay-file")
      .setInputFiles({ name: "damaged.ndjson", mimeType: "text/plain", buffer: Buffer.from(text) });
    await page.getByRole("button", { name: "Replay", exact: true }).click();
    expect(await outcome(page, /^Replay failed\. The export is damaged or was edited/)).toContain("Nothing was sent.");
  });

  test("dead letters are shown as they are, redriven, and purged after the value is typed", async () => {
    await sendEvents(piped, [HOSTILE]);
    const page = await browser.openPage(piped);
    await agree(page, page.getByRole("button", { name: "Flush all shards" }));
    await outcome(page, /^Flush: /);
    const letters = rowsOf(page, "Dead letters");
    await untilLetters(page, 1);
    await letters.locator("summary").click();
    expect(await letters.locator("pre").innerText()).toContain("<img src=x onerror=alert(1)>");
    expect(await page.locator("img").count()).toBe(0);

    await agree(page, page.getByRole("button", { name: "Redrive all" }));
    await outcome(page, /^Redrive: 1 event back in the buffer\.$/);
    await untilLetters(page, 0);
    await agree(page, page.getByRole("button", { name: "Flush all shards" }));
    await untilLetters(page, 1);

    await letters.getByRole("checkbox").check();
    const asked = await agree(page, page.getByRole("button", { name: "Purge chosen" }));
    expect(asked).toMatch(/Type 0-\S+ 1 to go on/);
    await outcome(page, /^Purge: 1 purged, written to dead-letters\//);
    await untilLetters(page, 0);
    expect(browser.takeComplaints().join()).toContain("409");
  });
});

describe("what is done shard by shard", () => {
  test.each([
    ["Redrive chosen", "Redrive", { redriven: 1, remaining: 0, unreadable: 0, full: [], failed: [] }, "1 event back"],
    [
      "Purge chosen",
      "Purge",
      { purged: 1, written_to: ["dead-letters/0"], remaining: 0 },
      "1 purged, written to dead-",
    ],
  ])("%s: a failure at the second one leaves what came of the first told", async (name, what, report, told) => {
    const page = await browser.openPage(service, { isSignedOut: true });
    const letters = [0, 1].map((shard) => letterOf(shard));
    await page.route("**/admin/dead-letters?*", (route) => route.fulfill({ json: { letters, next: null, total: 2 } }));
    await page.route(`**/admin/dead-letters/${what.toLowerCase()}`, async (route) => {
      const { shard, confirm } = route.request().postDataJSON() as { shard: number; confirm?: string };
      const isNamed = what === "Redrive" || confirm !== undefined;
      if (shard === 1) await route.fulfill({ status: 503, json: { code: "unavailable", detail: "It hangs." } });
      else if (isNamed) await route.fulfill({ json: report });
      else await route.fulfill({ status: 409, json: { code: "confirmation_needed", expected: "0-a 1" } });
    });
    await signIn(page);
    await untilLetters(page, 2);
    for (const box of await rowsOf(page, "Dead letters").getByRole("checkbox").all()) await box.check();
    await agree(page, page.getByRole("button", { name }));
    const said = await outcome(page, new RegExp(`^${what} failed\\. `));
    expect(said).toContain(told);
    expect(said).toMatch(/\. shard-1: It hangs\. \(503 unavailable\)$/);
    expect(browser.takeComplaints().join()).toContain("503");
  });
});

describe("the page says how things stand:", () => {
  test("that nothing is known before the first numbers have come, rather than that there is nothing", async () => {
    const page = await browser.openPage(service, { isSignedOut: true });
    await page.route("**/admin/overview", (route) => route.abort("connectionrefused"));
    await page.getByLabel("Admin token").fill(TOKEN);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.locator("#connection[data-state=lost]").waitFor();
    for (const part of ["#lake", "#dead-letters", "#alerts", "#audit"]) {
      expect(await page.locator(part).innerText()).toMatch(/Not known yet\./);
    }
    expect(await page.locator("#console").innerText()).not.toMatch(/No alert|No dead letters|No flush|No stream/);
    expect(browser.takeComplaints().join()).toContain("ERR_CONNECTION_REFUSED");
  });

  test("that the connection is lost, when it tries again, and that it is back", async () => {
    const page = await browser.openPage(service);
    const pill = page.locator("#connection");
    expect(await pill.innerText()).toMatch(/^Live · numbers (of now|\d+ s old)/);
    await page.route("**/admin/overview", (route) => route.abort("connectionrefused"));
    await lookAgain(page);
    await expect
      .poll(() => pill.innerText(), { timeout: 10_000 })
      .toMatch(/^Connection lost, (again in \d+ s|trying again) · numbers/);
    expect(await page.locator("#announcer").textContent()).toMatch(/^Connection lost\. The service cannot be reached/);
    await page.unroute("**/admin/overview");
    await lookAgain(page);
    await expect.poll(() => pill.innerText(), { timeout: 10_000 }).toMatch(/^Live/);
    expect(await page.locator("#announcer").textContent()).toBe("Connected again.");
    expect(browser.takeComplaints().join()).toContain("ERR_CONNECTION_REFUSED");
  });

  test("that it is paused while it is hidden; it asks at once when it is seen again", async () => {
    const page = await browser.openPage(service);
    await setHidden(page, true);
    await expect.poll(() => page.locator("#connection").innerText(), { timeout: 10_000 }).toMatch(/^Paused/);
    const next = page.waitForRequest("**/admin/overview");
    await setHidden(page, false);
    await next;
  });
});
