import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { GrokError } from "../../src/errors.ts";
import { openGguf } from "../../src/formats/gguf/file.ts";
import { openSafetensors } from "../../src/formats/safetensors/file.ts";
import { readTensor } from "../../src/tensor/tensor.ts";
import { liesEverywhere, lyingNumbers, type Mutant, mutants, truncations } from "../support/mutate.ts";
import { processorSeconds } from "../support/time.ts";

const vectors = new URL("../vectors/formats/", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "grok1-hostile-"));
afterAll(() => rmSync(folder, { recursive: true }));

const allowed = new Set(["format", "io", "unsupported"]);
const memoryLimit = 256 * 2 ** 20;

/** Opens a file and uses all that is in it: every metadata value decoded, every tensor's bytes read. */
function useGguf(path: string): void {
  const file = openGguf(path);
  try {
    for (const key of file.metadata.keys()) {
      file.metadata.get(key);
      file.metadata.encoded(key);
    }
    for (const tensor of file.tensors.values()) {
      if (readTensor(tensor, 0, tensor.shape[0] ?? 1).length !== tensor.byteLength)
        throw new Error("a tensor of the wrong length");
    }
  } finally {
    file.close();
  }
}

function useSafetensors(path: string): void {
  const file = openSafetensors(path);
  try {
    for (const entry of file.entries.values()) {
      if (entry.bytes().length !== entry.byteLength) throw new Error("a tensor of the wrong length");
      try {
        entry.values();
      } catch (error) {
        // A dtype can be damaged into another of the same size.
        if (!(error instanceof GrokError && error.code === "unsupported")) throw error;
      }
    }
  } finally {
    file.close();
  }
}

interface Tally {
  valid: number;
  refused: number;
}

/** Uses each mutant, put at `place`, through `path`: nothing but a typed error or success is allowed. */
function attack(attacks: Iterable<Mutant>, place: string, path: string, use: (path: string) => void): Tally {
  const tally = { valid: 0, refused: 0 };
  const before = process.memoryUsage.rss();
  for (const { label, bytes } of attacks) {
    // Removed first: some file systems flush a file to the disk when it is written over, which takes most of the time.
    rmSync(place, { force: true });
    writeFileSync(place, bytes);
    const seconds = processorSeconds(() => {
      try {
        use(path);
        tally.valid++;
      } catch (error) {
        if (!(error instanceof GrokError && allowed.has(error.code)))
          throw new Error(`${label}: ${error}`, { cause: error });
        tally.refused++;
      }
    });
    const taken = process.memoryUsage.rss() - before;
    if (taken > memoryLimit) throw new Error(`${label}: ${taken} bytes of memory were taken`);
    if (seconds > 5) throw new Error(`${label}: took ${seconds} s`);
  }
  return tally;
}

describe.each([
  { name: "all.gguf", use: useGguf },
  { name: "version2.gguf", use: useGguf },
  { name: "all.safetensors", use: useSafetensors },
])("$name", ({ name, use }) => {
  const bytes = readFileSync(vectors + name);
  const place = join(folder, name);

  it("is valid unharmed", () => {
    expect(attack([{ label: "unharmed", bytes }], place, place, use)).toEqual({ valid: 1, refused: 0 });
  });

  it("cut at every byte", () => {
    const { valid, refused } = attack(truncations(bytes), place, place, use);
    // Without the padding after its last tensor a GGUF file is still whole.
    expect(valid).toBeLessThan(32);
    expect(refused).toBeGreaterThan(bytes.length - 32);
  });

  it("with 2,000 random wounds", () => {
    const { valid, refused } = attack(mutants(bytes, 1, 2000), place, place, use);
    expect(valid).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(500);
  });
});

it("a small GGUF file with every lie at every byte", () => {
  const name = "split-00003-of-00003.gguf";
  for (const part of [1, 2]) {
    const other = `split-0000${part}-of-00003.gguf`;
    writeFileSync(join(folder, other), readFileSync(vectors + other));
  }
  const place = join(folder, name);
  const bytes = readFileSync(vectors + name);
  const lies = [...liesEverywhere(bytes, 4, 3), ...liesEverywhere(bytes, 8, 3)];
  const tally = attack(lies, place, place, useGguf);
  expect(tally.valid + tally.refused).toBeGreaterThan(2500);
  expect(tally.refused).toBeGreaterThan(1000);
});

it("a split model with one wounded part, opened by another", () => {
  const names = [1, 2, 3].map((n) => `split-0000${n}-of-00003.gguf`);
  for (const name of names) writeFileSync(join(folder, name), readFileSync(vectors + name));
  const whole = readFileSync(vectors + names[0]);
  const tally = attack(
    [...mutants(whole, 2, 1000), ...truncations(whole)],
    join(folder, names[0]!),
    join(folder, names[2]!),
    useGguf,
  );
  expect(tally.refused).toBeGreaterThan(500);
});

it("a safetensors header with every number replaced by every lie", () => {
  const place = join(folder, "numbers.safetensors");
  const bytes = readFileSync(`${vectors}model-00001-of-00002.safetensors`);
  const tally = attack(lyingNumbers(bytes), place, place, useSafetensors);
  expect(tally.refused).toBeGreaterThan(200);
});

it("a wounded index of a sharded model", () => {
  for (const part of [1, 2]) {
    const shard = `model-0000${part}-of-00002.safetensors`;
    writeFileSync(join(folder, shard), readFileSync(vectors + shard));
  }
  const place = join(folder, "model.safetensors.index.json");
  const bytes = readFileSync(`${vectors}model.safetensors.index.json`);
  const tally = attack([...mutants(bytes, 3, 1000), ...truncations(bytes)], place, place, useSafetensors);
  expect(tally.refused).toBeGreaterThan(500);
});
