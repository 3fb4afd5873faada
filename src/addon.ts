import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

/**
 * The compiled C++ addon: file mapping, threads and kernels. Mechanism only; who calls what is decided in TypeScript.
 * Absent where no compiler was found: `loadAddon` then says why, and everything runs on the reference backend.
 */
export interface Addon {
  /** Maps a file read-only. @throws Error with a `code` such as ENOENT. */
  mapFile(path: string): AddonMapping;
}

/** A file mapped by the addon. Views keep the mapping alive; `close` drops this handle's own hold on it. */
export interface AddonMapping {
  readonly size: number;
  /** A view of `length` bytes at `offset`, at most 2^32 - 1 bytes. Read only: writing to it faults. Never map the same range twice. */
  view(offset: number, length: number): ArrayBuffer;
  close(): void;
}

export type AddonState = { readonly addon: Addon } | { readonly addon: undefined; readonly reason: string };

let state: AddonState | undefined;

/** Loads the addon once per thread; the reason where it cannot be had. */
export function loadAddon(): AddonState {
  state ??= tryLoad();
  return state;
}

function tryLoad(): AddonState {
  // The same two steps up from src/ under a test runner and from dist/ when built.
  const path = fileURLToPath(new URL("../build/grok1.node", import.meta.url));
  try {
    return { addon: createRequire(import.meta.url)(path) as Addon };
  } catch (error) {
    return { addon: undefined, reason: error instanceof Error ? error.message.split("\n")[0]! : String(error) };
  }
}
