import type { Chunks } from "../bytes/atomic-write.ts";
import { GrokError } from "../errors.ts";

/** Passes chunks on, and makes sure that together they are `expected` bytes. */
export async function* exactly(name: string, expected: number, chunks: Chunks): AsyncGenerator<Uint8Array> {
  const wrong = (found: string) =>
    new GrokError("argument", `tensor ${name}: its data is ${found} bytes, expected ${expected}`, {
      tensor: name,
      expected,
    });
  let given = 0;
  for await (const chunk of chunks) {
    given += chunk.length;
    if (given > expected) throw wrong(`at least ${given}`);
    yield chunk;
  }
  if (given !== expected) throw wrong(String(given));
}
