import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import axe, { type AxeResults } from "axe-core";
import { afterAll, describe, expect, it } from "vitest";
import { hostileReport } from "../../src/tasks/page/page.case.ts";
import { renderEvaluation } from "../../src/tasks/page/page.ts";
import { desktop, phone, visit, whyNot } from "./browser.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-evaluation-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "page.html");
writeFileSync(file, renderEvaluation(hostileReport()));
const url = pathToFileURL(file).href;

// `visit` fails where anything is asked for, or refused by the page's policy.
describe.skipIf(whyNot)(`an evaluation's page${whyNot ? ` (skipped: ${whyNot})` : ""}`, () => {
  it.each([
    ["en", "light", desktop, "63.0 %"],
    ["es", "dark", phone, "63,0 %"],
  ] as const)("has no fault in %s, %s", async (locale, colorScheme, size, value) => {
    await using opened = await visit(url, { ...size, locale, colorScheme });
    const { page } = opened;
    expect(await page.title()).toMatch(/^What ' onmouseover='x scores$/);
    expect(await page.evaluate("document.documentElement.lang")).toBe(locale);
    expect(await page.getByRole("table").first().getByRole("cell").first().textContent()).toBe(value);
    expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    await page.evaluate(`(() => { ${axe.source} })()`);
    const { violations } = (await page.evaluate("axe.run()")) as AxeResults;
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual([]);
  });
});
