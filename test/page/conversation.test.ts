import { readFileSync } from "node:fs";
import type { Route } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type LanguageModel, loadModel } from "../../src/index.ts";
import { defaultModel, desktop, phone, type Served, serve, visit, whyNot } from "./browser.ts";

const question = "Tell me a story about a fox.";

async function runningAt(url: string): Promise<number> {
  const status = (await (await fetch(`${url}/grok1/status`)).json()) as { readonly running: number };
  return status.running;
}

describe.skipIf(whyNot)(`the page${whyNot ? ` (skipped: ${whyNot})` : ""}`, () => {
  let server: Served;
  let model: LanguageModel;
  beforeAll(async () => {
    if (whyNot) return;
    server = await serve();
    model = await loadModel(defaultModel, { threads: 2 });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await model?.close();
  });

  const said = async (...texts: string[]) => {
    const messages = texts.map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content }));
    return (await model.chat(messages, { temperature: 0, maxTokens: 24 }).result).text.trim();
  };

  it("holds a conversation: answers, remembers, edits, retries, exports, forgets", async () => {
    await using opened = await visit(server.url);
    const { page, ask } = opened;
    const text = (selector: string) => page.locator(selector).innerText();
    await expect.poll(() => text(".empty h2")).toBe("Talk with grok1-stories");
    await page.locator(".composer textarea:focus").waitFor();
    await page.keyboard.type(question);
    await page.keyboard.press("Enter");
    await page.locator(".measures").waitFor();
    const first = await said(question);
    await expect.poll(() => text(".message.assistant .prose")).toBe(first);
    await expect.poll(() => text(".measures")).toMatch(/^24 tokens, \d+ tokens\/s · first after \d+(\.\d+)? s$/);
    await expect.poll(() => text(".message.assistant .note")).toContain("Cut off");
    await ask("And then?");
    await expect
      .poll(() => page.locator(".message.assistant .prose").last().innerText())
      .toBe(await said(question, first, "And then?"));

    await page.reload();
    await page.locator(".message").nth(3).waitFor();
    await page.locator(".message.user").first().getByRole("button", { name: "Edit" }).click();
    await page.getByRole("textbox", { name: "Edit your message" }).fill("Hello!");
    await page.getByRole("button", { name: "Save and send" }).click();
    await page.locator(".measures").waitFor();
    await expect.poll(() => page.locator(".message").count()).toBe(2);
    await expect.poll(() => text(".message.assistant .prose")).toBe(await said("Hello!"));
    await page.getByRole("button", { name: "Retry" }).click();
    await page.locator(".coming").waitFor({ state: "detached" });
    await expect.poll(() => page.locator(".message").count()).toBe(2);

    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Export as JSON" }).click(),
    ]);
    const { messages } = JSON.parse(readFileSync(await download.path(), "utf8"));
    expect(messages.map(({ role }: { role: string }) => role)).toEqual(["user", "assistant"]);
    expect(messages[0].content).toBe("Hello!");

    await page.getByRole("button", { name: "Delete “Hello!”" }).click();
    await expect.poll(() => page.locator(".message").count()).toBe(0);
    await page.getByRole("button", { name: "Undo" }).click();
    await expect.poll(() => page.locator(".message").count()).toBe(2);
  });

  it("stops an answer, keeps what there is of it, and the server goes on to nothing", async () => {
    await using opened = await visit(server.url, desktop, { temperature: 1, max_tokens: 480, seed: 1 });
    const { page } = opened;
    await page.getByRole("button", { name: question }).click();
    await page.locator(".coming .prose").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.locator(".coming").waitFor({ state: "detached" });
    await expect.poll(() => page.locator(".note").innerText()).toBe("Stopped.");
    expect((await page.locator(".message.assistant .prose").innerText()).length).toBeGreaterThan(0);
    await expect.poll(() => runningAt(server.url)).toBe(0);
    // Escape is the key for it.
    await page.getByRole("button", { name: "Retry" }).click();
    await page.locator(".coming .prose").waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".coming").waitFor({ state: "detached" });
    await expect.poll(() => page.locator(".note").innerText()).toBe("Stopped.");
  });

  it("says what a model is, and asks as its settings say", async () => {
    await using opened = await visit(server.url);
    const { page, ask } = opened;
    await page.getByRole("button", { name: "About grok1-stories-q8_0" }).click();
    const details = () => page.locator(".details").innerText();
    for (const word of ["grok", "11.7M", "8, of which 2 are used", "512"]) await expect.poll(details).toContain(word);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Settings" }).click();
    await expect.poll(() => page.getByLabel("Top p").getAttribute("placeholder")).toBe("0.95");
    await page.getByLabel("Top k").fill("7");
    await page.getByLabel("Top p").fill("3");
    await page.getByLabel("Seed").fill("11");
    await page.getByLabel("System prompt").fill("Be brief.");
    await page.keyboard.press("Escape");
    const asked = page.waitForRequest("**/v1/chat/completions");
    await ask("Hello!");
    const body = (await asked).postDataJSON();
    // A value out of its range is not taken.
    expect(body).toMatchObject({ temperature: 0, max_tokens: 24, top_k: 7, top_p: 0.95, seed: 11, stream: true });
    expect(body.messages).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hello!" },
    ]);
    expect(body.grok1).toEqual({ fit: true, experts: true });
  });

  it("speaks Spanish to who asks for it, and another language once it is chosen", async () => {
    await using opened = await visit(server.url, { ...desktop, locale: "es-MX" });
    const { page, ask } = opened;
    await expect.poll(() => page.locator("html").getAttribute("lang")).toBe("es");
    await expect.poll(() => page.locator(".empty h2").innerText()).toBe("Habla con grok1-stories");
    await ask("Hola");
    await expect.poll(() => page.locator(".measures").innerText()).toMatch(/tokens\/s · el primero a los/);
    // No text of the other language is left, in labels neither.
    const labels = await page.locator("[aria-label]").evaluateAll((all) => all.map((one) => one.ariaLabel));
    expect(labels.join("\n")).not.toMatch(/\b(the|Send|Settings|Conversation|Close|Token of)\b/);
    await page.getByRole("button", { name: "Ajustes" }).click();
    await page.getByLabel("Idioma").selectOption("en");
    await expect.poll(() => page.locator("html").getAttribute("lang")).toBe("en");
    await page.keyboard.press("Escape");
    await page.reload();
    await page.getByRole("button", { name: "New conversation" }).click();
    await expect.poll(() => page.locator(".empty h2").innerText()).toBe("Talk with grok1-stories");
  });

  it("fits on a phone, and its panels come over it", async () => {
    await using opened = await visit(server.url, phone);
    const { page, ask } = opened;
    const overflow = () => page.evaluate("document.documentElement.scrollWidth - innerWidth");
    await expect.poll(overflow).toBe(0);
    await page.getByRole("button", { name: "Live view" }).click();
    await page.getByRole("button", { name: "Close" }).click();
    await ask("Averyveryverylongwordwithoutanyspacesinit".repeat(3));
    await expect.poll(overflow).toBe(0);
    for (const name of ["Conversations", "Settings", "About grok1-stories-q8_0"]) {
      await page.getByRole("button", { name, exact: true }).click();
      const dialog = page.getByRole("dialog");
      await dialog.waitFor();
      await expect.poll(overflow, { message: name }).toBe(0);
      await page.getByRole("button", { name: "Close" }).click();
    }
    await page.locator(".head").getByRole("button", { name: "Live view" }).click();
    await expect.poll(() => page.getByRole("slider", { name: "Token of the answer" }).isVisible()).toBe(true);
    await expect.poll(overflow).toBe(0);
    await page.getByRole("button", { name: "Close" }).click();
    // What a thumb has to hit is large enough (WCAG 2.5.8).
    const small = await page
      .locator("button:visible")
      .evaluateAll((all) =>
        all.map((one) => one.getBoundingClientRect()).filter(({ width, height }) => Math.min(width, height) < 24),
      );
    expect(small).toEqual([]);
  });

  it("sends what was entered before the server had said which model there is", async () => {
    await using opened = await visit(server.url);
    const { page } = opened;
    const early = async (route: Route) => {
      await page.locator(".composer textarea").fill("Hello!");
      await page.keyboard.press("Enter");
      await route.continue();
    };
    await page.route("**/grok1/status", early, { times: 1 });
    await page.reload();
    await page.locator(".measures").waitFor();
  });

  it("can be used by keys alone, and shows where they are", async () => {
    await using opened = await visit(server.url);
    const { page } = opened;
    await page.locator(".composer textarea:focus").waitFor();
    await page.keyboard.type("Hello!");
    await page.keyboard.press("Enter");
    await page.locator(".measures").waitFor();
    const focused = "document.activeElement";
    const seen: string[] = [];
    // Once around, by way of the browser's own buttons.
    while (seen.at(-1) !== "Message" && seen.length < 60) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(`${focused} === document.body`)) continue;
      const name = String(await page.evaluate(`${focused}.ariaLabel ?? ${focused}.innerText`)).trim();
      seen.push(name);
      // Around itself, or for the message's field around its box.
      const style = `getComputedStyle(${focused}.closest(".composer") ?? ${focused})`;
      expect(await page.evaluate(`${style}.outlineStyle + ${style}.boxShadow`), name).not.toBe("nonenone");
    }
    for (const name of [
      "New conversation",
      "Copy",
      "Edit",
      "Retry",
      "Message",
      "Settings",
      "Token of the answer",
      "As a table",
    ]) {
      expect(seen, seen.join(", ")).toContain(name);
    }
    await page.getByRole("button", { name: "Settings" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    // The browser keeps the keys within what is open, and gives them back where they were.
    for (let i = 0; i < 25; i++) {
      await page.keyboard.press("Tab");
      expect(await page.evaluate(`${focused} === document.body || ${focused}.closest("dialog") !== null`)).toBe(true);
    }
    await page.keyboard.press("Escape");
    await expect.poll(() => page.evaluate(`${focused}.ariaLabel`)).toBe("Settings");
  });
});
