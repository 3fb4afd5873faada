import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { writeAtomic } from "../../bytes/atomic-write.ts";
import { makeFolder } from "../../bytes/folder.ts";
import { ioError } from "../../bytes/io-error.ts";
import { jsonInTurns } from "../json.ts";
import type { Item } from "./items.ts";

/** A response that others may go on from. */
export interface StoredResponse {
  /** As it was given. */
  readonly response: { readonly id: string; readonly output: readonly object[] } & Readonly<Record<string, unknown>>;
  /** What was asked with it, without what it went on from. */
  readonly input: readonly Item[];
  readonly previous: string | undefined;
}

/** Keeps responses, the latest as far as there is room. */
export interface ResponseStore {
  /** Undefined: there is none, or no more. */
  get(id: string): StoredResponse | undefined;
  put(stored: StoredResponse): Promise<void>;
  delete(id: string): boolean;
}

export interface ResponseStoreOptions {
  /** Folder for them; undefined: they end with the server. */
  readonly folder?: string | undefined;
  readonly most?: number;
  readonly mostBytes?: number;
}

const defaultMost = 1000;
const defaultMostBytes = 2 ** 26;

/** Names of files are ids, which requests say: what is none must not lead out of the folder. */
const idForm = /^resp_[\da-f]{24}$/;

/** @throws GrokError `io` where the folder cannot be made or read */
export function createResponseStore(options: ResponseStoreOptions = {}): ResponseStore {
  const { folder, most = defaultMost, mostBytes = defaultMostBytes } = options;
  /** Sizes, and without a folder what is kept; the oldest first. */
  const held = new Map<string, { readonly bytes: number; readonly text: string | undefined }>();
  let total = 0;

  const fileOf = (id: string) => join(folder!, `${id}.json`);

  function forget(id: string): boolean {
    const found = held.get(id);
    if (found === undefined) return false;
    held.delete(id);
    total -= found.bytes;
    if (folder !== undefined) rmSync(fileOf(id), { force: true });
    return true;
  }

  function keep(id: string, bytes: number, text: string | undefined): void {
    total += bytes - (held.get(id)?.bytes ?? 0);
    held.delete(id);
    held.set(id, { bytes, text });
    while (held.size > most || (total > mostBytes && held.size > 1)) forget(held.keys().next().value!);
  }

  if (folder !== undefined) {
    for (const { id, size } of listFiles(folder)) keep(id, size, undefined);
  }

  return {
    get(id) {
      const found = held.get(id);
      if (found === undefined) return undefined;
      if (folder === undefined) return JSON.parse(found.text!) as StoredResponse;
      try {
        return JSON.parse(readFileSync(fileOf(id), "utf8")) as StoredResponse;
      } catch {
        // Taken away, or spoiled, by somebody else: it is as if it had never been kept.
        forget(id);
        return undefined;
      }
    },
    async put(stored) {
      const { id } = stored.response;
      const text = await jsonInTurns(stored);
      const bytes = Buffer.from(text);
      if (folder !== undefined) await writeAtomic(fileOf(id), [bytes]);
      keep(id, bytes.length, folder === undefined ? text : undefined);
    },
    delete: forget,
  };
}

function listFiles(folder: string): { readonly id: string; readonly size: number }[] {
  makeFolder(folder, 0o700);
  try {
    return readdirSync(folder)
      .flatMap((name) => {
        const id = name.replace(/\.json$/, "");
        if (id === name || !idForm.test(id)) return [];
        const { size, mtimeMs } = statSync(join(folder, name));
        return [{ id, size, mtimeMs }];
      })
      .sort((a, b) => a.mtimeMs - b.mtimeMs);
  } catch (error) {
    throw ioError("read the folder", folder, error);
  }
}
