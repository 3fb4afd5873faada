import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const { files } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { files: readonly string[] };
const packed = files.filter((name) => !name.startsWith("!"));
const left = files.filter((name) => name.startsWith("!")).map((name) => name.slice(1));
const within = (path: string, names: readonly string[]) =>
  names.some((name) => path === name || path.startsWith(`${name}/`));

/** Pages that npm puts into the package. */
const pages = packed
  .flatMap((name) => {
    const path = join(root, name);
    if (!existsSync(path) || !statSync(path).isDirectory()) return [name];
    return readdirSync(path, { recursive: true }).map((entry) => join(name, String(entry)));
  })
  .filter((name) => name.endsWith(".md") && !within(name, left));

describe("pages of the package", () => {
  it.each(pages)("%s points only to what is there and packed", (page) => {
    const text = readFileSync(join(root, page), "utf8").replace(/```[\s\S]*?```/g, "");
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"/g)].map(
      (match) => (match[1] ?? match[2])!,
    );
    const wrong = targets
      .filter((target) => !/^[a-z]+:|^#/.test(target))
      .map((target) => relative(root, resolve(root, dirname(page), target.replace(/#.*$/, ""))))
      .filter((target) => !existsSync(join(root, target)) || !within(target, packed) || within(target, left));
    expect(wrong).toEqual([]);
  });

  it.each(pages)("%s asks nobody to run what only a clone has", (page) => {
    const text = readFileSync(join(root, page), "utf8");
    expect(text.match(/(?<![\w/])(bench|scripts|test)\/[\w./-]+/g) ?? []).toEqual([]);
  });
});
