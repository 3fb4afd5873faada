import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { GrokError } from "../errors.ts";
import { ioError } from "./io-error.ts";
import { openRegular } from "./regular-file.ts";
import { createLineDecoder, decodeText, failLong, mostTextBytes } from "./text.ts";

const chunkBytes = 1 << 20;

/**
 * A text file's contents, without a byte order mark. Beside regular files, the pipes that a shell makes of `<(command)`.
 * @throws GrokError `io`; as {@link decodeText}, naming the file.
 */
export function readTextFile(path: string): string {
  const gathered = createGatherer(path);
  for (const chunk of readChunks(path, mostTextBytes)) gathered.add(chunk);
  return gathered.text();
}

/** Bytes that {@link readTextBytes} reads at most: what is held in memory, and searched, at once. */
const mostFileBytes = 2 ** 31 - 1;

/**
 * A text file's bytes as they are, for what looks at them before or instead of making one text of them: `checkText` is still to come.
 * @throws GrokError `io`; `capacity` for 2 GiB and more.
 */
export function readTextBytes(path: string): Buffer {
  const fd = openText(path);
  try {
    const tooLarge = () =>
      new GrokError("capacity", `${path}: larger than 2 GiB: split the file`, { path, most: mostFileBytes });
    const { size } = fstatSync(fd);
    if (size > mostFileBytes) throw tooLarge();
    // A pipe's size is 0, and a file may grow: a byte more than is expected shows the end.
    let bytes = Buffer.allocUnsafeSlow(size + 1);
    for (let used = 0; ; ) {
      const got = readSome(fd, bytes.subarray(used, used + 2 ** 30), path);
      if (got === 0) return bytes.subarray(0, used);
      used += got;
      if (used > mostFileBytes) throw tooLarge();
      if (used === bytes.length) bytes = Buffer.concat([bytes, Buffer.allocUnsafeSlow(Math.max(used, chunkBytes))]);
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * A file's lines, each with its line end, some at a time: any number of bytes, as long as no line is longer than a text can be.
 * @throws GrokError `io`; as {@link decodeText}, naming the file and the line.
 */
export function* readTextLines(path: string): Generator<string> {
  const decoder = createLineDecoder(path);
  for (const chunk of readChunks(path)) yield* decoder.add(chunk);
  yield* decoder.end();
}

/** All of a stream, as {@link readTextFile} reads a file; `name` stands for it in messages. */
export async function readTextStream(stream: AsyncIterable<Uint8Array>, name: string): Promise<string> {
  const gathered = createGatherer(name);
  for await (const chunk of stream) gathered.add(chunk);
  return gathered.text();
}

/** Lines of a stream without their line ends (`\n` or `\r\n`), as {@link readTextLines} reads those of a file. */
export async function* readStreamLines(stream: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<string> {
  const decoder = createLineDecoder(name);
  for await (const chunk of stream) for (const text of decoder.add(chunk)) yield* splitLines(text);
  for (const text of decoder.end()) yield* splitLines(text);
}

function* splitLines(text: string): Generator<string> {
  for (let start = 0; start < text.length; ) {
    const found = text.indexOf("\n", start);
    const end = found < 0 ? text.length : found;
    yield text.slice(start, text[end - 1] === "\r" && end > start ? end - 1 : end);
    start = end + 1;
  }
}

function createGatherer(name: string) {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  return {
    add(chunk: Uint8Array) {
      bytes += chunk.length;
      // Before it is all in memory: a device never ends.
      if (bytes > mostTextBytes) failLong(name);
      chunks.push(chunk);
    },
    text: () => decodeText(Buffer.concat(chunks), name),
  };
}

function* readChunks(path: string, most = Number.POSITIVE_INFINITY): Generator<Uint8Array> {
  const fd = openText(path);
  try {
    if (fstatSync(fd).size > most) failLong(path);
    const buffer = Buffer.allocUnsafeSlow(chunkBytes);
    for (;;) {
      const got = readSome(fd, buffer, path);
      if (got === 0) return;
      yield Buffer.from(buffer.subarray(0, got));
    }
  } finally {
    closeSync(fd);
  }
}

/** Files that the process was given open: a pipe among them has its writer, and ends. */
const givenOpen = /^\/(dev\/(stdin$|fd\/)|proc\/self\/fd\/)/;

function openText(path: string): number {
  if (!givenOpen.test(path)) return openRegular(path).fd;
  try {
    return openSync(path, "r");
  } catch (error) {
    throw ioError("open", path, error);
  }
}

function readSome(fd: number, buffer: Buffer, path: string): number {
  try {
    return readSync(fd, buffer, 0, buffer.length, null);
  } catch (error) {
    throw ioError("read", path, error);
  }
}
