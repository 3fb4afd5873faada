import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import axe, { type AxeResults } from "axe-core";
import { afterAll, describe, expect, it } from "vitest";
import { hostileExplanation, hostileTokens } from "../../src/explain/page/page.case.ts";
import { renderExplanation } from "../../src/explain/page/page.ts";
import { desktop, phone, visit, whyNot } from "./browser.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-explanation-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "page.html");
writeFileSync(file, renderExplanation(hostileExplanation()));
const url = pathToFileURL(file).href;

// `visit` fails where anything is asked for, or refused by the page's policy.
describe.skipIf(whyNot)(`an explanation's page${whyNot ? ` (skipped: ${whyNot})` : ""}`, () => {
  it("shows what tokens say, and is worked by keys alone", async () => {
    await using opened = await visit(url);
    const { page } = opened;
    expect(await page.title()).toMatch(/^Why "<\/script>/);
    const attended = page.locator("#attended li");
    expect(await attended.first().textContent()).toBe(`${hostileTokens[0]}14 %`);
    await page.getByLabel("from").focus();
    for (let i = 0; i < hostileTokens.length - 2; i++) await page.keyboard.press("ArrowUp");
    const [first, second, third] = hostileTokens;
    expect((await attended.allTextContents()).slice(0, 3)).toEqual([`${first}50 %`, `${second}50 %`, third]);
    await page.locator("input[name=head]").first().focus();
    await page.keyboard.press("ArrowRight");
    expect(await page.locator("input[name=head]").nth(1).isChecked()).toBe(true);
    await page.locator("#layer").focus();
    await page.keyboard.press("ArrowLeft");
    expect(await page.locator("#layer-at").textContent()).toBe("0");
    const chance = page.locator("dd").first();
    expect(await chance.textContent()).toBe("60.7 %");
    await page.getByRole("button", { name: "Español" }).focus();
    await page.keyboard.press("Enter");
    expect(await page.locator("h2:visible").allInnerTexts()).toContain("Qué aporta cada token");
    expect(await chance.textContent()).toBe("60,7 %");
    await page.getByTitle("−2,000").waitFor();
    await page.getByRole("button", { name: "English" }).press("Enter");
    expect(await chance.textContent()).toBe("60.7 %");
  });

  it.each([
    ["en", "light", desktop],
    ["es", "dark", phone],
  ] as const)("has no fault in %s, %s", async (locale, colorScheme, size) => {
    await using opened = await visit(url, { ...size, locale, colorScheme });
    const { page } = opened;
    expect(await page.evaluate("document.documentElement.lang")).toBe(locale);
    expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    await page.evaluate(`(() => { ${axe.source} })()`);
    const { violations } = (await page.evaluate("axe.run()")) as AxeResults;
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual([]);
  });
});
