import axe, { type AxeResults } from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { desktop, phone, type Served, serve, visit, whyNot } from "./browser.ts";

describe.skipIf(whyNot)(`the page to axe${whyNot ? ` (skipped: ${whyNot})` : ""}`, () => {
  let server: Served;
  beforeAll(async () => {
    if (!whyNot) server = await serve();
  });
  afterAll(async () => server?.[Symbol.asyncDispose]());

  async function check(page: Page, state: string): Promise<void> {
    await page.evaluate(`window.axe ?? (() => { ${axe.source} })()`);
    const { violations } = (await page.evaluate("axe.run()")) as AxeResults;
    const found = violations.map(({ id, nodes }) => `${state}: ${id}: ${nodes.map(({ html }) => html).join(" ")}`);
    expect(found).toEqual([]);
  }

  const words = {
    en: { settings: "Settings", live: "Live view", table: "As a table", menu: "Conversations" },
    es: { settings: "Ajustes", live: "En vivo", table: "Como tabla", menu: "Conversaciones" },
  } as const;

  it.each([
    ["en", "light"],
    ["en", "dark"],
    ["es", "light"],
    ["es", "dark"],
  ] as const)("has no fault in %s, %s", async (locale, colorScheme) => {
    const say = words[locale];
    await using opened = await visit(server.url, { ...desktop, locale, colorScheme });
    const { page, ask } = opened;
    await page.locator(".empty h2").waitFor();
    await check(page, "empty");
    await ask(locale === "en" ? "Tell me a story about a fox." : "Hola");
    await page.getByText(say.table).click();
    await check(page, "an answer, and how it came about");
    await page.getByRole("button", { name: say.settings }).click();
    await check(page, "settings");
    await page.keyboard.press("Escape");
    await page.locator(".model-name").click();
    await check(page, "about the model");
  });

  it("has no fault on a phone", async () => {
    await using opened = await visit(server.url, { ...phone, colorScheme: "dark" }, { live: true });
    const { page, ask } = opened;
    await ask("Hello!");
    await check(page, "an answer");
    await page.getByRole("button", { name: words.en.menu }).click();
    await check(page, "conversations");
    await page.keyboard.press("Escape");
    await page.locator(".head").getByRole("button", { name: words.en.live }).click();
    await check(page, "live");
  });
});
