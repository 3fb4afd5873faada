import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect } from "vitest";
import { loadModel } from "../../src/index.ts";
import { createServer, type ServerOptions } from "../../src/server/server.ts";

const root = resolve(import.meta.dirname, "../..");
export const models = join(root, "test/vectors/models");
export const defaultModel = join(root, "models/grok1-stories-q8_0.gguf");

const places = [
  ...[process.env.CHROME_PATH, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"],
  ...[
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
  ],
];
const executablePath = places.find((place) => place !== undefined && existsSync(place));

/** Why the page cannot be looked at here; undefined where it can. */
export const whyNot =
  executablePath === undefined ? "no Chromium: apt-get install chromium, or name one by CHROME_PATH" : undefined;

let browser: Browser | undefined;
beforeAll(async () => {
  if (executablePath === undefined) return;
  // As root, and in most containers, Chromium cannot build its sandbox; what it loads here is ours.
  browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--host-resolver-rules=MAP grok1.test 127.0.0.1"],
  });
});
afterAll(async () => browser?.close());

export interface Served extends AsyncDisposable {
  readonly url: string;
}

/** A server with the built page at a free port. */
export async function serve(file = defaultModel, options: Partial<ServerOptions> = {}): Promise<Served> {
  const server = await createServer({
    models: [{ file, load: () => loadModel(file, { threads: 2 }) }],
    ...{ port: 0, page: join(root, "dist/web") },
    ...options,
  });
  const { url, drain } = await server.listen();
  return {
    url,
    async [Symbol.asyncDispose]() {
      await drain(AbortSignal.abort());
      await server.close();
    },
  };
}

export const desktop: BrowserContextOptions = { viewport: { width: 1360, height: 860 }, locale: "en-US" };
export const phone: BrowserContextOptions = {
  ...{ viewport: { width: 360, height: 740 }, locale: "en-US", hasTouch: true, isMobile: true },
};

/** What somebody's browser remembers: always the likeliest token, and no long answers. */
const usual = { temperature: 0, max_tokens: 24 };

export interface Visit extends AsyncDisposable {
  readonly page: Page;
  /** Says something, and waits for the whole answer. */
  ask(text: string): Promise<void>;
}

/**
 * Opens the page in a browser that nobody used before. It must ask nobody but its server, and nothing may go wrong that a browser
 * tells of, its policy's refusals among that.
 */
export async function visit(
  url: string,
  options: BrowserContextOptions = desktop,
  settings: object = {},
): Promise<Visit> {
  const context = await browser!.newContext(options);
  const remembered = JSON.stringify(JSON.stringify({ ...usual, ...settings }));
  await context.addInitScript(`localStorage["grok1.settings"] ??= ${remembered}`);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const troubles: string[] = [];
  page.on("pageerror", (error) => troubles.push(error.message));
  // An answer that is an error is told as one too: pages that expect it say so themselves.
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      troubles.push(message.text());
  });
  page.on("request", (request) => {
    if (request.url() !== url && !request.url().startsWith(`${url}/`) && !request.url().startsWith("blob:"))
      troubles.push(request.url());
  });
  await page.goto(url);
  return {
    page,
    async ask(text) {
      const answers = await page.locator(".message.assistant").count();
      await page.locator(".composer textarea").fill(text);
      await page.locator(".composer .round").click();
      await page.locator(".message.assistant .actions").nth(answers).waitFor();
    },
    async [Symbol.asyncDispose]() {
      await context.close();
      expect(troubles).toEqual([]);
    },
  };
}
