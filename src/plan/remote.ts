import type { DataFile } from "../bytes/data-file.ts";
import { GrokError } from "../errors.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";
import { request, transient, type Web, withRetries } from "../hub/request.ts";

/** Fetched at first, and twice as much each time that a header turns out to be longer: a vocabulary of 131,072 pieces takes 3 MB. */
const firstBytes = 1 << 20;
/** No header is as long: what asks for more is none. */
const mostBytes = 2 ** 28;

interface Fetched {
  readonly size: number;
  readonly bytes: Uint8Array;
}

/**
 * The header of a GGUF file at an address, by ranged requests, and of all parts of a split one. Its tensors can be listed, not read.
 * @throws GrokError `io`, `cancelled`; as `openGguf`.
 */
export async function openRemoteGguf(web: Web, address: string): Promise<GgufFile> {
  const { origin, pathname, search } = new URL(address);
  const fetched = new Map<string, Fetched>();
  const wanted = new Map([[pathname, firstBytes]]);
  for (;;) {
    for (const [path, length] of wanted) fetched.set(path, await fetchHead(web, `${origin}${path}${search}`, length));
    wanted.clear();
    try {
      return openGguf(pathname, (path) => headFile(`${origin}${path}`, path, fetched, wanted));
    } catch (error) {
      if (wanted.size === 0) throw error;
    }
  }
}

/** A file of which the beginning is there. What is asked for beyond it is noted in `wanted`, and refused for this time. */
function headFile(
  name: string,
  path: string,
  fetched: ReadonlyMap<string, Fetched>,
  wanted: Map<string, number>,
): DataFile {
  const head = fetched.get(path);
  const refuse = (length: number): never => {
    if (length > mostBytes)
      throw new GrokError("format", `${name}: a header of more than ${mostBytes} bytes`, { path: name });
    wanted.set(path, length);
    throw new GrokError("io", `${name}: not fetched yet`, { path: name });
  };
  if (head === undefined) return refuse(firstBytes);
  return {
    path: name,
    size: head.size,
    descriptor: () => {
      throw new GrokError("io", `${name}: is not on this computer: grok1 pull brings it`, { path: name });
    },
    read(offset, length) {
      const end = offset + length;
      if (end > head.bytes.length) return refuse(Math.min(head.size, Math.max(end, 2 * head.bytes.length)));
      return Uint8Array.from(head.bytes.subarray(offset, end));
    },
    close() {},
  };
}

function fetchHead(web: Web, url: string, length: number): Promise<Fetched> {
  return withRetries(web, async () => {
    const { response, parts, close } = await request(web, url, { range: `bytes=0-${length - 1}` });
    try {
      const range = /^bytes 0-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "");
      const whole = response.status === 200 ? response.headers.get("content-length") : undefined;
      const size = Number(range?.[1] ?? whole ?? Number.NaN);
      if (!Number.isSafeInteger(size)) throw transient(`${url}: no part of a file came`, { url });
      const chunks: Uint8Array[] = [];
      let got = 0;
      for await (const part of parts) {
        chunks.push(part);
        got += part.length;
        if (got >= length) break;
      }
      if (got < Math.min(size, length)) throw transient(`${url}: the connection ended at byte ${got}`, { url });
      return { size, bytes: Buffer.concat(chunks) };
    } finally {
      close();
    }
  });
}
