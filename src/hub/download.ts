import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { ioError } from "../bytes/io-error.ts";
import { GrokError } from "../errors.ts";
import { type Journal, openJournal, removePartial } from "./journal.ts";
import type { ExpectedHash } from "./repository.ts";
import { request, transient, type Web, withRetries } from "./request.ts";

export interface Download {
  readonly url: string;
  readonly size: number;
  readonly hash: ExpectedHash;
  /** Where bytes gather until all are right, and what an interrupted download goes on with. */
  readonly partial: string;
}

export interface DownloadOptions {
  readonly connections: number;
  /** Told how many bytes more are there; less than 0 when it begins anew. */
  readonly onBytes?: ((count: number) => void) | undefined;
}

/** Bytes that one request asks for, at most and at least: every connection is to have some, and none to spend its time on asking. */
const mostPieceBytes = 64 << 20;
const leastPieceBytes = 1 << 20;
/**
 * Bytes that are written at once. The system keeps a file in memory in pieces as large as it was written in, and a model whose weights lie in
 * small ones is read a third more slowly.
 */
const writeBytes = 1 << 20;
/** Written between two lines of the journal: what a killed process has to fetch again, for each connection. */
const noteBytes = 2 << 20;

/**
 * Downloads a file by parallel ranges into its partial file, which is whole and right when this returns. What an earlier attempt left is
 * gone on with, whatever ended it. A file whose bytes come out wrong is fetched anew once.
 *
 * @throws GrokError `io` (the server, the network or the disk fails; what is there is kept), `format` (the server's bytes are not what the
 * hash says; nothing is kept), `cancelled`.
 */
export async function download(web: Web, file: Download, options: DownloadOptions): Promise<void> {
  let parallel = true;
  let changes = 0;
  for (let wrong = 0; ; ) {
    const journal = openJournal(file.partial, file.size, file.hash.hex);
    options.onBytes?.(journal.spans.total);
    try {
      const found = await fetchAndHash(web, file, journal, { ...options, parallel, keepsTag: changes < mostChanges });
      if (found === file.hash.hex) return;
      wrong++;
      if (wrong === 2) throw wrongHash(file, found);
    } catch (error) {
      const { restart = undefined } = error instanceof GrokError ? error.details : {};
      if (restart === "whole" && parallel) parallel = false;
      else if (restart === "changed") changes++;
      else {
        if (error instanceof GrokError && error.code === "format") removePartial(file.partial);
        throw error;
      }
    }
    options.onBytes?.(-journal.spans.total);
    removePartial(file.partial);
  }
}

/** The hosts of a network may not agree about entity tags: after these, the hash alone decides. */
const mostChanges = 2;

function wrongHash({ url, hash: { algorithm, hex } }: Download, found: string): GrokError {
  const message = `${url}: the bytes that came have the hash (${algorithm}) ${found}, expected ${hex}: nothing is kept`;
  return new GrokError("format", message, { url, found, expected: hex });
}

interface FetchOptions extends DownloadOptions {
  readonly parallel: boolean;
  /** Whether another entity tag means to begin anew. */
  readonly keepsTag: boolean;
}

async function fetchAndHash(
  web: Web,
  { url, size, hash, partial }: Download,
  journal: Journal,
  { connections, onBytes, parallel, keepsTag }: FetchOptions,
): Promise<string> {
  const handle = await open(partial, existsSync(partial) ? "r+" : "w+").catch((error) => {
    throw ioError("write", partial, error);
  });
  const stop = new AbortController();
  const signal = web.signal ? AbortSignal.any([web.signal, stop.signal]) : stop.signal;
  const own: Web = { ...web, signal };
  const { spans } = journal;
  const front = createFrontHash(handle, hash, size, partial);
  try {
    const share = Math.ceil(size / connections);
    const pieces = spans.gaps(size, parallel ? Math.min(mostPieceBytes, Math.max(leastPieceBytes, share)) : size);
    const keep = async (at: number, bytes: Uint8Array) => {
      await writeAll(handle, partial, bytes, at);
      spans.add(at, at + bytes.length);
      onBytes?.(bytes.length);
      front.add(at, bytes);
      front.follow(spans.front);
    };
    const work = async () => {
      for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) {
        await fetchPiece(own, { url, size, ...piece, ranged: parallel, keepsTag, journal, keep });
      }
    };
    const running = Array.from({ length: parallel ? connections : 1 }, () => work());
    for (const one of running) one.catch(() => stop.abort());
    const ended = await Promise.allSettled(running);
    const failures = ended.flatMap((end) => (end.status === "rejected" ? [end.reason as unknown] : []));
    // The first failure stops the others, which then are cancelled.
    const failure =
      failures.find((error) => !(error instanceof GrokError && error.code === "cancelled")) ?? failures[0];
    if (failure !== undefined) throw failure;
    const digest = await front.end();
    await handle.sync().catch((error) => {
      throw ioError("flush", partial, error);
    });
    return digest;
  } finally {
    stop.abort();
    await front.settle();
    await handle.close();
  }
}

interface Piece {
  readonly url: string;
  readonly size: number;
  readonly start: number;
  readonly end: number;
  readonly ranged: boolean;
  readonly keepsTag: boolean;
  readonly journal: Journal;
  readonly keep: (at: number, bytes: Uint8Array) => Promise<void>;
}

/** One piece, in as many attempts as it takes: each goes on where the one before broke off. */
async function fetchPiece(web: Web, piece: Piece): Promise<void> {
  const { url, size, end, ranged, keepsTag, journal, keep } = piece;
  let at = piece.start;
  let best = journal.spans.total;
  const progressed = () => {
    const more = journal.spans.total > best;
    best = journal.spans.total;
    return more;
  };
  const attempt = async () => {
    if (!ranged) at = 0;
    const { response, parts, close } = await request(web, url, ranged ? { range: `bytes=${at}-${end - 1}` } : {});
    let noted = at;
    const note = () => {
      if (at > noted) journal.note(noted, at);
      noted = at;
    };
    const gathered = createGatherer();
    const write = async () => {
      const bytes = gathered.take();
      // Of a file that is sent as a whole again, what is there already stays as it was hashed.
      const known = ranged ? 0 : Math.min(bytes.length, Math.max(0, journal.spans.front - at));
      if (known < bytes.length) await keep(at + known, bytes.subarray(known));
      at += bytes.length;
    };
    try {
      const etag = response.headers.get("etag");
      if (etag !== null && /^"[\x21-\x7e]+"$/.test(etag) && etag !== journal.etag && keepsTag) {
        if (journal.etag !== undefined) throw restart("changed", `${url}: changed while it was downloaded`, url);
        journal.noteEtag(etag);
      }
      checkAnswer(response, { url, at, end, size, ranged });
      for await (const part of parts) {
        if (at + gathered.bytes + part.length > end)
          throw transient(`${url}: more bytes came than were asked for`, { url });
        gathered.add(part);
        if (gathered.bytes >= writeBytes) await write();
        if (at - noted >= noteBytes) note();
      }
      await write();
      if (at < end) throw transient(`${url}: the connection ended at byte ${at} of ${size}`, { url });
    } finally {
      close();
      await write();
      note();
    }
  };
  await withRetries(web, attempt, progressed);
}

/** Small parts together. */
function createGatherer() {
  let parts: Uint8Array[] = [];
  return {
    bytes: 0,
    add(part: Uint8Array) {
      parts.push(part);
      this.bytes += part.length;
    },
    take(): Uint8Array {
      const all = Buffer.concat(parts);
      parts = [];
      this.bytes = 0;
      return all;
    },
  };
}

/** @throws GrokError `io` for an answer that is not these bytes of this file. */
function checkAnswer(
  { status, headers }: Response,
  { url, at, end, size, ranged }: { url: string; at: number; end: number; size: number; ranged: boolean },
): void {
  const wrong = (problem: string) => transient(`${url}: ${problem}`, { url });
  const encoding = headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity")
    throw wrong(`the bytes come compressed (${encoding}), though asked not to be`);
  if (status === 206 && ranged) {
    const range = headers.get("content-range");
    const [, start, last, all] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range ?? "") ?? [];
    const right = Number(start) === at && Number(last) === end - 1 && (all === "*" || Number(all) === size);
    if (!right) throw wrong(`the part ${range} came, expected bytes ${at}-${end - 1}/${size}`);
    return;
  }
  const type = headers.get("content-type") ?? "";
  if (type.startsWith("text/html") && !/\.html?$/i.test(new URL(url).pathname))
    throw wrong("a web page came, expected the file");
  const length = headers.get("content-length");
  if (length !== null && Number(length) !== size) throw wrong(`${length} bytes are announced, expected ${size}`);
  // Whoever sends all when asked for all does no wrong.
  if (status === 200 && (!ranged || (at === 0 && end === size))) return;
  const whole = `${url}: the whole file came, expected a part`;
  throw ranged && status === 200 ? restart("whole", whole, url) : wrong(`status ${status}, expected the file`);
}

/** What is there is of no use: the file has changed, or the server knows no parts and has to send all at once. */
function restart(why: "changed" | "whole", message: string, url: string): GrokError {
  return new GrokError("io", message, { url, restart: why });
}

/** The hash of a file whose bytes come in any order: of what comes at the front at once, of the rest when the front has reached it. */
function createFrontHash(handle: FileHandle, { algorithm }: ExpectedHash, size: number, path: string) {
  const hash = createHash(algorithm === "sha256" ? "sha256" : "sha1");
  if (algorithm === "git-sha1") hash.update(`blob ${size}\0`);
  let hashed = 0;
  let target = 0;
  let following: Promise<void> | undefined;
  let failure: unknown;
  const buffer = Buffer.allocUnsafeSlow(4 << 20);
  const readOn = async () => {
    try {
      while (hashed < target) {
        const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, target - hashed), hashed);
        if (bytesRead === 0) throw new GrokError("io", `${path}: became shorter while it was downloaded`, { path });
        hash.update(buffer.subarray(0, bytesRead));
        hashed += bytesRead;
      }
    } catch (error) {
      failure ??= error instanceof GrokError ? error : ioError("read", path, error);
    }
    following = undefined;
  };
  const follow = (front: number) => {
    target = front;
    if (hashed < target && following === undefined && failure === undefined) following = readOn();
  };
  return {
    add(at: number, bytes: Uint8Array) {
      if (at !== hashed || following !== undefined) return;
      hash.update(bytes);
      hashed += bytes.length;
    },
    follow,
    async end(): Promise<string> {
      follow(size);
      await following;
      if (failure !== undefined) throw failure;
      return hash.digest("hex");
    },
    async settle(): Promise<void> {
      target = 0;
      await following;
    },
  };
}

async function writeAll(handle: FileHandle, path: string, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done).catch((error) => {
      throw ioError("write", path, error);
    });
    done += bytesWritten;
  }
}
