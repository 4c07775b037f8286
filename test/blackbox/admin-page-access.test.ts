/**
 * The operators' page for everybody who works with it: by keyboard alone, on a phone, in light and dark, without
 * seeing it, without motion; and what its policy keeps out. What it shows and does: admin-page.test.ts.
 */
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import {
  AdminBrowser,
  lookAgain,
  outcome,
  rowsOf,
  screenshot,
  tabTo,
  TOKEN,
  untilFigure,
  untilShown,
} from "../fixtures/admin-page.ts";
import { faintTexts } from "../fixtures/contrast.ts";
import { flushLake, numberedEvents, sendEvents } from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { readStream, type SseReading } from "../fixtures/sse-reading.ts";

const FOCUS_TIMEOUT_MS = 10_000;
const PHONE = { viewport: { width: 320, height: 640 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };

let service: LakeService;
let browser: AdminBrowser;
let reading: SseReading;

/** A service with something to show in every part of the page. */
beforeAll(async () => {
  [service, browser] = await Promise.all([
    startLakeService({ vars: { ICEBERG_SHARDS: 2, ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000 } }),
    AdminBrowser.open(),
  ]);
  reading = await readStream(`${service.origin}/demo/stream?events=100000&rate=20`);
  await sendEvents(service, numberedEvents("/seen", 40));
  await flushLake(service);
});

afterAll(async () => {
  reading?.cut();
  await browser?.close();
  await service?.stop();
});

afterEach(() => browser.endTest());

describe("the operators' page is usable", () => {
  test("by keyboard alone: sign in, flush, read the dialog, confirm", async () => {
    const page = await browser.openPage(service, { isSignedOut: true });
    const { keyboard } = page;
    await page.getByLabel("Admin token").waitFor();
    // The form has the focus when it comes; before it: the choice of a theme, and the way past everything.
    await keyboard.press("Shift+Tab");
    await keyboard.press("Shift+Tab");
    expect(await focused(page)).toMatchObject({ text: "Skip to the content", hasOutline: true });
    await keyboard.press("Enter");
    await keyboard.press("Tab");
    expect(await focused(page)).toMatchObject({ id: "token", hasOutline: true });
    await keyboard.type(TOKEN);
    await keyboard.press("Enter");
    await page.locator("#connection[data-state=live]").waitFor();

    await tabTo(page, "Flush all shards");
    expect((await focused(page)).hasOutline).toBe(true);
    await keyboard.press("Enter");
    // What changes nothing has the focus; Tab goes round within the dialog.
    await untilFocused(page, "Leave it");
    await keyboard.press("Tab");
    await untilFocused(page, "Flush");
    for (let presses = 0; presses < 4; presses++) {
      await keyboard.press("Tab");
      expect((await focused(page)).isOutside).toBe(false);
    }
    await keyboard.press("Escape");
    await untilFocused(page, "Flush all shards");
    // A person sees the dialog before going on; a key pressed earlier would meet what is behind it.
    await keyboard.press("Enter");
    await untilFocused(page, "Leave it");
    await keyboard.press("Tab");
    await untilFocused(page, "Flush");
    await keyboard.press("Space");
    await outcome(page, /^Flush: /);
    await untilFocused(page, "Flush all shards");
  });

  test("while it updates itself: focus, choice and an open table stay where they are", async () => {
    const page = await browser.openPage(service);
    const row = page.getByRole("button", { name: reading.requestId });
    await row.focus();
    const summary = page.locator("#charts summary").first();
    await summary.click();
    await row.focus();
    for (let times = 0; times < 2; times++) {
      const answered = page.waitForResponse("**/admin/overview");
      await lookAgain(page);
      await answered;
    }
    expect(await row.evaluate((element) => element === document.activeElement)).toBe(true);
    expect(await page.locator("#charts details").first().getAttribute("open")).toBe("");
  });

  test("at 320 pixels, without scrolling the page sideways, also with a stream and a dialog open", async () => {
    const page = await browser.openPage(service, { ...PHONE, isSignedOut: true });
    const scrollWidth = () => page.evaluate(() => document.documentElement.scrollWidth);
    await page.getByLabel("Admin token").waitFor();
    expect(await scrollWidth()).toBe(320);
    await page.getByLabel("Admin token").fill(TOKEN);
    await page.getByRole("button", { name: "Sign in" }).tap();
    await page.getByRole("button", { name: reading.requestId }).tap();
    await page.locator("#inspection").waitFor();
    await page.getByText("Deadlines and settings").tap();
    for (const details of await page.locator("#charts summary").all()) await details.tap();
    expect(await scrollWidth()).toBe(320);
    await page.getByRole("button", { name: "Reset shard-0" }).tap();
    await page.getByRole("dialog").waitFor();
    expect(await scrollWidth()).toBe(320);
    await screenshot(page, "phone");
    expect(browser.takeComplaints().join()).toContain("409");
  });

  test("in a narrow window: what a row is about stays in sight, however far its table is scrolled", async () => {
    const page = await browser.openPage(service, { viewport: { width: 900, height: 700 } });
    await untilShown(page, () => rowsOf(page, "Shards").count(), 2);
    const frame = page.getByRole("region", { name: "Shards" });
    const scrolled = await frame.evaluate((element) => {
      element.scrollLeft = element.scrollWidth;
      return element.scrollLeft;
    });
    expect(scrolled).toBeGreaterThan(0);
    const name = page.getByRole("rowheader", { name: "shard-0" });
    expect((await name.boundingBox())?.x).toBe((await frame.boundingBox())?.x);
  });

  test.each(["light", "dark"] as const)("in %s: every text has the contrast that AA asks for", async (colorScheme) => {
    const page = await browser.openPage(service, { colorScheme });
    await untilFigure(page, "Active streams", /^1$/);
    await page.getByRole("button", { name: reading.requestId }).click();
    await page.locator("#inspection").waitFor();
    await screenshot(page, colorScheme);
    expect(await faintTexts(page)).toEqual([]);
    await page.getByRole("button", { name: "Flush shard-0" }).click();
    expect(await faintTexts(page)).toEqual([]);
  });

  test("in the theme that is chosen, also after a reload, and the look for faint text can fail", async () => {
    const page = await browser.openPage(service, { colorScheme: "light" });
    const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const light = await ground();
    await page.getByLabel("Theme").selectOption("dark");
    expect(await ground()).not.toBe(light);
    await page.reload();
    await page.locator("#connection[data-state=live]").waitFor();
    expect(await ground()).not.toBe(light);
    expect(await page.evaluate(() => Object.keys(localStorage))).toEqual(["spillway-theme"]);
    await page.locator("h1").evaluate((title) => (title.style.color = "#345"));
    expect(await faintTexts(page)).toMatchObject([{ text: "Spillway" }]);
  });

  test("without seeing it: all that can be used has a name, tables have captions and heads, charts tell what they show", async () => {
    const page = await browser.openPage(service);
    await rowsOf(page, /^Commits/)
      .first()
      .waitFor();
    const nameless = await page.evaluate(() =>
      [
        ...document.querySelectorAll<HTMLElement>(
          "button, input, select, a, progress, [role=meter], [role=img], [role=region]",
        ),
      ]
        .filter((element) => element.checkVisibility())
        .filter((element) => {
          const labels =
            element instanceof HTMLInputElement || element instanceof HTMLSelectElement
              ? [...(element.labels ?? [])]
              : [];
          const texts = [
            element.getAttribute("aria-label"),
            element.textContent,
            ...labels.map((label) => label.textContent),
          ];
          return texts.every((text) => (text ?? "").trim() === "");
        })
        .map((element) => element.outerHTML.slice(0, 120)),
    );
    expect(nameless).toEqual([]);
    const tables = await page.locator("table").evaluateAll((all) =>
      all.map((table) => ({
        caption: table.querySelector("caption")?.textContent ?? "",
        headless: table.querySelectorAll("thead th:not([scope=col])").length,
        rows: table.querySelectorAll("tbody tr").length === table.querySelectorAll("tbody tr > th[scope=row]").length,
      })),
    );
    for (const table of tables) expect(table).toEqual({ caption: expect.stringMatching(/./), headless: 0, rows: true });
    const charts = await page
      .getByRole("img")
      .evaluateAll((all) => all.map((chart) => chart.getAttribute("aria-label")));
    expect(charts.length).toBeGreaterThan(8);
    for (const text of charts) expect(text).toMatch(/: (last|none).*Points: \d+\.$/);
    const ids = await page.evaluate(() => [...document.querySelectorAll("[id]")].map(({ id }) => id));
    expect(new Set(ids).size).toBe(ids.length);
    expect(await page.locator("h1").count()).toBe(1);
  });

  test("in a browser whose language is none: without the lines of the charts, which it says, and with all else", async () => {
    const page = await browser.openPage(service, { language: "en-US@posix" });
    const charts = page.locator(".chart");
    await untilFigure(page, "Active streams", /^1$/);
    expect(await page.locator("#charts-problem").innerText()).toMatch(
      /^The charts cannot be drawn in this browser \(.+\)\. Their last values and their tables are here\.$/,
    );
    expect(await charts.locator("canvas").count()).toBe(0);
    await charts.first().locator("summary").click();
    await untilShown(
      page,
      () => charts.first().locator("tbody tr").count(),
      expect.toSatisfy((rows) => rows > 0),
    );
    expect(await charts.first().locator(".legend b").allInnerTexts()).toContain("1");
    await page.getByLabel("Theme").selectOption("dark");
    expect(await faintTexts(page)).toEqual([]);
  });

  test("where its scripts cannot run: it says so, instead of nothing", async () => {
    const page = await browser.openPage(service, { isSignedOut: true });
    const said = page.getByText("the page’s scripts could not run");
    expect(await said.isVisible()).toBe(false);
    await page.route("**/admin/assets/format.js", (route) => route.abort("connectionrefused"));
    await page.reload();
    await said.waitFor();
    expect(browser.takeComplaints().join()).toContain("ERR_CONNECTION_REFUSED");
  });

  test("by those who want no motion", async () => {
    const page = await browser.openPage(service, { reducedMotion: "reduce" });
    const animation = () =>
      page.locator("#connection").evaluate((pill) => getComputedStyle(pill, "::before").animationName);
    expect(await animation()).toBe("none");
    await page.emulateMedia({ reducedMotion: "no-preference" });
    expect(await animation()).toBe("pulse");
  });
});

describe("the page's policy", () => {
  test("is sent with the page and with every file of it, and nothing of it is kept", async () => {
    const page = await browser.openPage(service, { isSignedOut: true });
    const files = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
    expect(files.length).toBeGreaterThan(20);
    for (const url of [`${service.origin}/admin`, ...files.filter((name) => name.includes("/admin/assets/"))]) {
      const { headers } = await fetch(url);
      expect(headers.get("content-security-policy"), url).toMatch(
        /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'/,
      );
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
    }
  });

  test("lets no other script, no other style and no markup out of text in", async () => {
    const page = await browser.openPage(service);
    const refused = await page.evaluate(async () => {
      const directives: string[] = [];
      document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) =>
        directives.push(effectiveDirective),
      );
      const script = document.createElement("script");
      const style = document.createElement("style");
      style.textContent = "h1 { display: none }";
      document.body.append(style);
      let markup = "taken";
      try {
        script.textContent = "document.title = 'taken over'";
        document.body.append(script);
      } catch {
        directives.push("script text");
      }
      try {
        document.body.innerHTML = "<b>taken over</b>";
      } catch {
        markup = "refused";
      }
      // Violations are told in the next task, a frame at the latest.
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      return { directives, markup };
    });
    expect(refused.markup).toBe("refused");
    expect(refused.directives).toContain("style-src-elem");
    expect(refused.directives).toContain("require-trusted-types-for");
    expect(await page.title()).toBe("Spillway operators");
    expect(await page.locator("h1").isVisible()).toBe(true);
    expect(browser.takeComplaints().join()).toContain("policy violated");
  });
});

function focused(page: Page): Promise<{ text: string; id: string; hasOutline: boolean; isOutside: boolean }> {
  return page.evaluate(() => {
    const element = document.activeElement;
    const dialog = document.querySelector("dialog[open]");
    return {
      text: element?.textContent?.trim() ?? "",
      id: element?.id ?? "",
      hasOutline: element !== null && getComputedStyle(element).outlineStyle === "solid",
      // The browser's own controls come after the dialog's last one: then nothing of the page has the focus.
      isOutside: dialog !== null && element !== document.body && !dialog.contains(element),
    };
  });
}

async function untilFocused(page: Page, text: string): Promise<void> {
  await expect.poll(async () => (await focused(page)).text, { timeout: FOCUS_TIMEOUT_MS }).toBe(text);
}
