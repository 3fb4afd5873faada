import { appendFileSync, cpSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, it } from "vitest";
import { prefixRoot } from "../prefix-root.ts";
import { createIdentity } from "./identity.ts";

const vectors = resolve(import.meta.dirname, "../../../test/vectors");
const folder = mkdtempSync(join(tmpdir(), "grok1-identity-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("of pages changes with the model's contents, the adapters' and their strengths, the group and the program, not with names", () => {
  const model = join(folder, "model.gguf");
  cpSync(join(vectors, "models/llama.gguf"), model);
  const lora = readdirSync(join(vectors, "lora"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const [one, two] = lora.map(({ name }) => join(vectors, "lora", name));
  const of = (key: string, adapters = [{ path: one!, name: "a" }], how: object = { isa: "avx2" }, group?: string) =>
    createIdentity({ model: [model], adapters, how: { ...how } })(prefixRoot(key, group));
  const first = of('[["a",1]]');
  expect(of('[["a",1]]')).toBe(first);
  // Another name of the same adapter.
  expect(of('[["b",1]]', [{ path: one!, name: "b" }])).toBe(first);
  const others = [
    of('[["a",0.5]]'),
    of("[]"),
    of('[["a",1]]', [{ path: two!, name: "a" }]),
    of('[["a",1]]', undefined, { isa: "avx512" }),
    of('[["a",1]]', undefined, undefined, "laptop"),
    of('[["a",1]]', undefined, undefined, "phone"),
  ];
  expect(new Set([first, ...others]).size).toBe(7);
  expect(of("[]", [])).toBe(of("[]"));

  const { atime, mtime } = statSync(model);
  utimesSync(model, atime, new Date(mtime.getTime() + 1000));
  const touched = of('[["a",1]]');
  appendFileSync(model, "x");
  utimesSync(model, atime, mtime);
  expect(new Set([first, touched, of('[["a",1]]')]).size).toBe(3);
});
