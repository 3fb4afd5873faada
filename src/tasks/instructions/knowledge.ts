import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";
import { ioError } from "../../bytes/io-error.ts";

/**
 * What the package brings for checks of instructions (`tasks/ifeval/`, made by `test/oracles/make_ifeval_data.mjs`): JSON, compressed by
 * brotli. @throws GrokError `io`
 */
export function readKnowledge<T>(name: string): T {
  const path = fileURLToPath(new URL(`../../../tasks/ifeval/${name}.json.br`, import.meta.url));
  try {
    return JSON.parse(brotliDecompressSync(readFileSync(path)).toString()) as T;
  } catch (error) {
    throw ioError("read", path, error);
  }
}

/** What `make` makes, the first time it is asked for. */
export function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
