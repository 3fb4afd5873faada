import { appendFileSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { ioError } from "../bytes/io-error.ts";
import { createSpans, type Spans } from "./spans.ts";

/**
 * What of an unfinished file is there, so that another process can go on: a text file beside it with a line for the whole ("grok1-partial 1
 * SIZE HASH"), one for the server's entity tag, and one for each span that has been written. It may be wrong after a
 * power cut; the hash of the whole has the last word. The journal of `bytes/` is of files that are made, section after section, each with
 * a hash that it is believed by; here spans come in any order, and are many, and nobody has hashes of parts.
 */
export interface Journal {
  readonly spans: Spans;
  etag: string | undefined;
  note(start: number, end: number): void;
  noteEtag(etag: string): void;
}

export const journalPath = (partial: string) => `${partial}.journal`;

/** Goes on with the journal of `partial` where there is one of the same file, and begins one otherwise. @throws GrokError `io`. */
export function openJournal(partial: string, size: number, hash: string): Journal {
  const path = journalPath(partial);
  const head = `grok1-partial 1 ${size} ${hash}`;
  const spans = createSpans();
  let etag: string | undefined;
  const attempt = <T>(action: string, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw ioError(action, path, error);
    }
  };
  const lines =
    existsSync(path) && existsSync(partial) ? attempt("read", () => readFileSync(path, "utf8")).split("\n") : [];
  const held = existsSync(partial) ? statSync(partial).size : 0;
  // What follows the last line end was not written to its end.
  for (const line of lines[0] === head ? lines.slice(1, -1) : []) {
    const [, start, end, tag] = /^(?:(\d+) (\d+)|etag (.+))$/.exec(line) ?? [];
    if (tag !== undefined) etag = tag;
    else if (Number(end) <= Math.min(size, held)) spans.add(Number(start), Number(end));
  }
  const write = (line: string) => attempt("write", () => appendFileSync(path, `${line}\n`));
  if (spans.total === 0) attempt("write", () => writeFileSync(path, `${head}\n`));
  return {
    spans,
    etag: spans.total === 0 ? undefined : etag,
    note: (start, end) => write(`${start} ${end}`),
    noteEtag(tag) {
      this.etag = tag;
      write(`etag ${tag}`);
    },
  };
}

export function removePartial(partial: string): void {
  for (const path of [journalPath(partial), partial]) rmSync(path, { force: true });
}
