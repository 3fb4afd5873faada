import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type GenerateResult, loadModel } from "../../src/index.ts";
import { defaultModel, desktop, models, type Served, serve, visit, whyNot } from "./browser.ts";

const question = "Tell me a story about a fox.";

describe.skipIf(whyNot)(`the live view${whyNot ? ` (skipped: ${whyNot})` : ""}`, () => {
  let server: Served;
  let expected: GenerateResult;
  beforeAll(async () => {
    if (whyNot) return;
    server = await serve();
    await using model = await loadModel(defaultModel, { threads: 2 });
    const options = { temperature: 0, maxTokens: 24, logprobs: 5, experts: true };
    expected = await model.chat([{ role: "user", content: question }], options).result;
  });
  afterAll(async () => server?.[Symbol.asyncDispose]());

  /** For the page: the cells that are lit on the map. Their colour is the lit one, more or less strong, the others' are grey. */
  const lit = `(() => {
    const canvas = document.querySelector(".map");
    const context = canvas.getContext("2d");
    const [left, top] = [24, 18];
    const [width, height] = [(canvas.clientWidth - left) / 8, (canvas.clientHeight - top) / 6];
    return Array.from({ length: 48 }, (_, i) => i).flatMap((i) => {
      const [x, y] = [left + ((i % 8) + 0.5) * width, top + (Math.floor(i / 8) + 0.5) * height];
      const [red, , blue] = context.getImageData(x * devicePixelRatio, y * devicePixelRatio, 1, 1).data;
      return red - blue > 60 ? [\`\${Math.floor(i / 8)}:\${i % 8}\`] : [];
    });
  })`;

  async function litCells(page: Page): Promise<string[]> {
    // The map is drawn once the server has told of its model.
    await page.locator(".map").waitFor();
    return page.evaluate(`${lit}()`);
  }

  const chosen = (at: number) =>
    expected.experts![at]!.flatMap(({ layer, experts }) => [...experts].sort().map((expert) => `${layer}:${expert}`));

  it("lights the experts of each token, and says what else it could have been", async () => {
    await using opened = await visit(server.url);
    const { page, ask } = opened;
    expect(await litCells(page)).toEqual([]);
    await ask(question);
    const tokens = page.getByRole("slider", { name: "Token of the answer" });
    await expect.poll(() => tokens.getAttribute("aria-valuenow")).toBe(String(expected.tokens.length));
    await expect.poll(() => litCells(page)).toEqual(chosen(expected.tokens.length - 1));
    await tokens.press("Home");
    for (const at of [0, 1, 2]) {
      await expect.poll(() => tokens.getAttribute("aria-valuenow")).toBe(String(at + 1));
      await expect.poll(() => litCells(page)).toEqual(chosen(at));
      const shares = expected.logprobs![at]!.top.map(({ logprob }) => Math.exp(logprob));
      const shown = (await page.locator(".bar-share").allInnerTexts()).map(
        (text) => Number.parseFloat(text.replace("< ", "")) / 100,
      );
      expect(shown).toHaveLength(5);
      for (const [i, share] of shares.entries()) expect(shown[i]).toBeCloseTo(share, 2);
      await tokens.press("ArrowRight");
    }
    // The same as a table, for who cannot see the map.
    await page.getByText("As a table").click();
    const rows = await page.locator(".as-table tbody tr").allInnerTexts();
    expect(rows).toHaveLength(6);
    const [first] = expected.experts![3]!;
    expect(rows[0]).toContain(`${first!.experts[0]} (${first!.weights[0]!.toFixed(2).replace(/0+$/, "")}`);
    const label = await page.locator(".map").getAttribute("aria-label");
    expect(label).toContain("6 layers by 8 experts");
    await page.locator(".tokens .token").nth(5).click();
    await expect.poll(() => tokens.getAttribute("aria-valuenow")).toBe("6");
  });

  it("is seen to change while an answer comes, and asks for nothing while it is closed", async () => {
    await using opened = await visit(server.url, desktop, { temperature: 1, max_tokens: 300, seed: 2 });
    const { page } = opened;
    await page.locator(".map").waitFor();
    // Looked at whenever the page is drawn: an answer may be there before somebody outside has looked twice.
    await page.evaluate(`(() => {
      globalThis.seen = new Set();
      const look = () => {
        if (document.querySelector(".map") && document.querySelector(".coming .prose")) seen.add(${lit}().join());
        requestAnimationFrame(look);
      };
      look();
    })()`);
    await page.getByRole("button", { name: question }).click();
    await page.locator(".measures").waitFor();
    expect(await page.evaluate("seen.size")).toBeGreaterThan(3);
    await page.keyboard.press("Escape");
    await page.locator(".head").getByRole("button", { name: "Live view" }).click();
    const asked = page.waitForRequest("**/v1/chat/completions");
    await page.getByRole("button", { name: "Retry" }).click();
    const body = (await asked).postDataJSON();
    expect([body.logprobs, body.grok1]).toEqual([undefined, { fit: true }]);
    await page.keyboard.press("Escape");
  });

  it("says so where a model is no mixture", async () => {
    await using dense = await serve(`${models}/llama.gguf`);
    await using opened = await visit(dense.url);
    const { page, ask } = opened;
    await ask("Once");
    await expect.poll(() => page.locator(".live").innerText()).toContain("is no mixture of experts");
    await expect.poll(() => page.locator(".bars li").count()).toBeGreaterThanOrEqual(5);
  });
});
