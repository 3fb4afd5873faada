import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { loadModel } from "../../src/index.ts";
import { defaultModel, desktop, models, serve, visit, whyNot } from "./browser.ts";

const adapters = resolve(import.meta.dirname, "../vectors/lora");

describe.skipIf(whyNot)(`the page, where something is in the way${whyNot ? ` (skipped: ${whyNot})` : ""}`, () => {
  it("asks for a key where one is needed, and keeps it for its tab", async () => {
    await using server = await serve(defaultModel, {
      keys: { laptop: createHash("sha256").update("open sesame").digest("hex") },
    });
    await using opened = await visit(server.url);
    const { page, ask } = opened;
    const dialog = page.getByRole("dialog", { name: "A key is needed" });
    await dialog.waitFor();
    await page.getByRole("textbox", { name: "Key" }).fill("guess");
    await page.keyboard.press("Enter");
    await dialog.getByRole("alert").waitFor();
    await page.getByRole("textbox", { name: "Key" }).fill("open sesame");
    await page.keyboard.press("Enter");
    await dialog.waitFor({ state: "detached" });
    await ask("Hello!");
    await page.reload();
    await ask("Hello again!");
    expect(await page.evaluate("JSON.stringify(localStorage)")).not.toContain("sesame");
    await using other = await visit(server.url);
    await other.page.getByRole("dialog", { name: "A key is needed" }).waitFor();
  });

  it("answers a phone of the same network too, to which a browser gives less without encryption", async () => {
    await using server = await serve(defaultModel, { hosts: ["grok1.test"] });
    await using opened = await visit(server.url.replace("127.0.0.1", "grok1.test"));
    const { page, ask } = opened;
    expect(await page.evaluate("isSecureContext")).toBe(false);
    await ask("Hello!");
    await page.locator(".message.assistant").getByRole("button", { name: "Copy" }).click();
    await page.getByText("Copied").waitFor();
  });

  it("says when the server is gone, and goes on once it is there again", async () => {
    const server = await serve();
    const port = Number(new URL(server.url).port);
    await using opened = await visit(server.url);
    const { page, ask } = opened;
    await ask("Hello!");
    await server[Symbol.asyncDispose]();
    await page.locator(".composer textarea").fill("Are you there?");
    await page.keyboard.press("Enter");
    await expect.poll(() => page.locator(".failed").innerText()).toContain("The server does not answer");
    await page.locator(".status.gone").waitFor();
    await using again = await serve(defaultModel, { port });
    expect(again.url).toBe(server.url);
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator(".failed").waitFor({ state: "detached" });
    await expect.poll(() => page.locator(".message.assistant").count()).toBe(2);
  });

  it("says when the server is busy, and when a question is too long", async () => {
    await using server = await serve(defaultModel, { atOnce: 1, waiting: 0 });
    const long = JSON.stringify({ messages: [{ role: "user", content: "Go on" }], ignore_eos: true, stream: true });
    const gone = new AbortController();
    await fetch(`${server.url}/v1/chat/completions`, { method: "POST", body: long, signal: gone.signal });
    await using opened = await visit(server.url);
    const { page } = opened;
    // The one that is before it may be done meanwhile: then it answers.
    await page.route("**/v1/chat/completions", (route) =>
      route.fulfill({ status: 503, json: { error: { message: "16 requests run", code: null } } }),
    );
    await page.getByRole("button", { name: "Hello!" }).click();
    await expect.poll(() => page.locator(".failed").innerText()).toContain("busy");
    gone.abort();
    await page.unroute("**/v1/chat/completions");
    await page.locator(".composer textarea").fill("word ".repeat(600));
    await page.keyboard.press("Enter");
    await page.getByText("does not fit into the context").waitFor();
    await page.locator(".failed").getByRole("button", { name: "New conversation" }).click();
    await page.locator(".empty h2").waitFor();
  });

  it("shows what a model writes as text, whatever that is", async () => {
    await using server = await serve();
    await using opened = await visit(server.url);
    const { page } = opened;
    const hostile = [
      "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>",
      "[here](javascript:window.hacked=1) [there](https://elsewhere.example/) ![seen](https://elsewhere.example/pixel.png)",
      "```html\n<iframe src='https://elsewhere.example'></iframe>\n```",
    ].join("\n\n");
    const chunk = (delta: object, finish: string | null = null) =>
      `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
    await page.route("**/v1/chat/completions", (route) =>
      route.fulfill({
        contentType: "text/event-stream",
        body: `${chunk({ reasoning_content: "Hm, <b>what</b>" })}${chunk({ content: hostile })}${chunk({}, "stop")}data: [DONE]\n\n`,
      }),
    );
    await page.getByRole("button", { name: "Hello!" }).click();
    const prose = page.locator(".message.assistant > .prose");
    await prose.waitFor();
    await expect.poll(() => prose.innerText()).toContain("<img src=x onerror='window.hacked=1'><script>");
    await expect.poll(() => prose.locator("img, script, iframe").count()).toBe(0);
    expect(await prose.locator("a").evaluateAll((all) => all.map((one) => one.getAttribute("href")))).toEqual([
      "https://elsewhere.example/",
      "https://elsewhere.example/pixel.png",
    ]);
    expect(await page.evaluate("window.hacked")).toBeUndefined();
    await page.getByText("Thoughts").click();
    await expect.poll(() => page.locator(".thoughts").innerText()).toContain("Hm, <b>what</b>");
  });

  it("lets adapters be chosen, and says how strongly", async () => {
    const file = join(models, "llama.gguf");
    const lora = join(adapters, "llama");
    await using server = await serve(file, {
      models: [
        { file, load: () => loadModel(file, { backend: "reference", adapters: [{ path: lora, name: "style" }] }) },
      ],
    });
    await using opened = await visit(server.url, desktop, { max_tokens: 4 });
    const { page, ask } = opened;
    const asked = async () => {
      const [request] = await Promise.all([page.waitForRequest("**/v1/chat/completions"), ask("Once")]);
      return request.postDataJSON().grok1.adapters;
    };
    expect(await asked()).toEqual([{ name: "style", scale: 1 }]);
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("slider", { name: "Strength of style" }).fill("0.5");
    await page.keyboard.press("Escape");
    expect(await asked()).toEqual([{ name: "style", scale: 0.5 }]);
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("checkbox", { name: "style" }).uncheck();
    await page.keyboard.press("Escape");
    expect(await asked()).toEqual([]);
  });
});
