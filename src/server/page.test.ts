import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, it } from "vitest";
import { startTestServer } from "./app.case.ts";
import { readPage } from "./page.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-page-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const web = join(folder, "web");
mkdirSync(join(web, "assets"), { recursive: true });
writeFileSync(join(folder, "secret.html"), "not of the page");
writeFileSync(join(web, "index.html"), "<!doctype html>");
writeFileSync(join(web, "assets", "index-1a2b.js"), "go()");

const models = { llama: resolve(import.meta.dirname, "../../test/vectors/models/llama.gguf") };
const key = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

it("gives the page's files and no others, without a key, to who may ask from where they are", async () => {
  await using server = startTestServer(models, { page: readPage(web), keys: { laptop: key } });
  const page = await server.get("/");
  expect([page.status, page.headers.get("content-type"), await page.text()]).toEqual([
    200,
    "text/html; charset=utf-8",
    "<!doctype html>",
  ]);
  expect(page.headers.get("cache-control")).toBe("no-cache");
  const policy = page.headers.get("content-security-policy")!.split("; ");
  for (const rule of ["default-src 'self'", "frame-ancestors 'none'", "trusted-types 'none'"])
    expect(policy).toContain(rule);
  expect(policy.join()).not.toContain("unsafe");
  expect(page.headers.get("x-content-type-options")).toBe("nosniff");

  const script = await server.get("/assets/index-1a2b.js");
  expect([script.headers.get("content-type"), script.headers.get("cache-control")]).toEqual([
    "text/javascript; charset=utf-8",
    "public, max-age=31536000, immutable",
  ]);
  const again = await server.get("/", { "if-none-match": page.headers.get("etag")! });
  expect([again.status, await again.text()]).toEqual([304, ""]);

  for (const path of [
    "/assets",
    "/assets/",
    "/index.html",
    "/secret.html",
    "/..%2fsecret.html",
    "/assets/..%5c..%5csecret.html",
    "//secret.html",
  ]) {
    // What is no file of the page is the API's affair, which asks for a key.
    expect((await server.get(path)).status, path).toBe(401);
  }
  expect((await server.get("/", { host: "elsewhere.example" })).status).toBe(403);
  expect((await server.get("/v1/models")).status).toBe(401);
  expect((await server.post("/", {})).status).toBe(401);
  expect(server.log.filter(({ routine }) => routine).map(({ path }) => path)).toEqual([
    "/",
    "/assets/index-1a2b.js",
    "/",
  ]);
});

it("is nothing where there is none", async () => {
  await using server = startTestServer(models);
  expect((await server.get("/")).status).toBe(404);
  expect(() => readPage(join(folder, "nowhere"))).toThrow(expect.objectContaining({ code: "io" }));
});
