import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One request for a file's bytes, as it came. */
export interface Asked {
  readonly path: string;
  readonly content: Buffer;
  /** [start, end) that the request asked for; undefined without a Range header. */
  readonly range: readonly [number, number] | undefined;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** How many such requests came before. */
  readonly count: number;
  /** Answers as a server should. */
  readonly honest: (content?: Buffer) => void;
}

export interface HubServer {
  readonly endpoint: string;
  /** Where redirects lead: the same server by another port. */
  readonly fileHost: string;
  readonly commit: string;
  files: Record<string, Buffer>;
  /** What the listing says of a file in place of the truth. */
  listed: Record<string, Record<string, unknown>>;
  /** Answers requests for files. */
  serve: (asked: Asked) => void;
  /** Answers requests of the listing; true when it did. */
  api: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Every request: "HOST PATH", and the token that came with it. */
  readonly log: { readonly host: "endpoint" | "files"; readonly path: string; readonly token: string | undefined }[];
  /** Bytes of files that were sent. */
  sent: number;
  close(): Promise<void>;
}

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
export const gitSha1 = (bytes: Uint8Array) =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

/** A stand-in for Hugging Face with one repository, the model `me/model` and the dataset `me/data`, whose files of over 100 bytes are large ones. */
export async function startHub(files: Record<string, Buffer>): Promise<HubServer> {
  const commit = "0123456789abcdef0123456789abcdef01234567";
  const servers: Server[] = [];
  const listen = async (handle: (request: IncomingMessage, response: ServerResponse) => void) => {
    const server = createServer(handle);
    servers.push(server);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  let count = 0;
  const log = (host: "endpoint" | "files", request: IncomingMessage) => {
    hub.log.push({ host, path: request.url!, token: request.headers.authorization });
  };
  const fileHost = await listen((request, response) => {
    log("files", request);
    const path = decodeURIComponent(request.url!.slice(1));
    const content = hub.files[path]!;
    const [, start, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    const range = start === undefined ? undefined : ([Number(start), Number(last) + 1] as const);
    const honest = (bytes = content) => {
      const part = range ? bytes.subarray(...range) : bytes;
      hub.sent += part.length;
      response.writeHead(range ? 206 : 200, {
        "content-length": part.length,
        etag: `"${sha256(content).slice(0, 16)}"`,
        ...(range && { "content-range": `bytes ${range[0]}-${range[1] - 1}/${bytes.length}` }),
      });
      response.end(part);
    };
    hub.serve({ path, content, range, request, response, count: count++, honest });
  });
  const endpoint = await listen((request, response) => {
    log("endpoint", request);
    if (hub.api(request, response)) return;
    const url = new URL(request.url!, "http://x");
    const json = (value: unknown, headers = {}) => {
      response.writeHead(200, { "content-type": "application/json", ...headers });
      response.end(JSON.stringify(value));
    };
    const [, file] = new RegExp(`^/(?:me/model|datasets/me/data)/resolve/${commit}/(.+)$`).exec(url.pathname) ?? [];
    if (file !== undefined && hub.files[decodeURIComponent(file)]) {
      response.writeHead(302, { location: `${fileHost}/${file}` });
      response.end();
    } else if (
      /^\/api\/(models\/me\/model|datasets\/me\/data)\/revision\/(main|refs%2Fconvert%2Fparquet)$/.test(url.pathname)
    ) {
      json({ _id: "1", id: "me/model", sha: commit });
    } else if (new RegExp(`^/api/(models/me/model|datasets/me/data)/tree/${commit}$`).test(url.pathname)) {
      // In pages of two files.
      const names = Object.keys(hub.files);
      const from = Number(url.searchParams.get("cursor") ?? 0);
      const next = new URL(request.url!, hub.endpoint);
      next.searchParams.set("cursor", String(from + 2));
      json(
        names.slice(from, from + 2).map((path) => ({ ...describe(path, hub.files[path]!), ...hub.listed[path] })),
        from + 2 < names.length ? { link: `<${next.href}>; rel="next"` } : {},
      );
    } else {
      response.writeHead(404);
      response.end();
    }
  });
  const hub: HubServer = {
    ...{ endpoint, fileHost, commit, files, listed: {}, log: [], sent: 0 },
    serve: ({ honest }) => honest(),
    api: () => false,
    async close() {
      for (const server of servers) server.closeAllConnections();
      await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
    },
  };
  return hub;
}

function describe(path: string, content: Buffer) {
  const entry = { type: "file", path, size: content.length, oid: gitSha1(content) };
  if (content.length <= 100) return entry;
  return { ...entry, oid: "f".repeat(40), lfs: { oid: sha256(content), size: content.length, pointerSize: 130 } };
}
