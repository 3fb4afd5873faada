import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Asked, gitSha1, type HubServer, sha256, startHub } from "../../test/support/hub-server.ts";
import { type PullOptions, pull } from "./pull.ts";
import type { Web } from "./request.ts";

const root = mkdtempSync(join(tmpdir(), "grok1-pull-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Bytes that repeat nowhere, so that none can stand in another's place. */
function noise(length: number, seed: string): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 64) }, (_, i) =>
    createHash("sha512").update(`${seed} ${i}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, length);
}
const large = noise(3_000_001, "large");
const small = Buffer.from('{"small": true}');

let hub: HubServer;
let folder: string;
let folders = 0;
beforeEach(async () => {
  hub = await startHub({ "config.json": small, "sub/große #1.gguf": large, empty: Buffer.alloc(0) });
  folder = join(root, String(folders++));
});
afterEach(() => hub.close());

const name = "sub/große #1.gguf";
const web = (more: Partial<Web> = {}): Partial<Web> => ({
  ...{ endpoint: hub.endpoint, stallSeconds: 5, attempts: 4, pauseSeconds: 0.005 },
  ...more,
});
const bring = (more: Partial<PullOptions> = {}, webMore: Partial<Web> = {}) =>
  pull("me/model", { ...web(webMore), into: { folder }, ...more });
/** No name but those of finished files and of what a next attempt goes on with. */
const finished = (at = folder) =>
  existsSync(at)
    ? (readdirSync(at, { recursive: true }) as string[])
        .filter((path) => !/partial(\.journal)?$|^sub$/.test(path))
        .sort()
    : [];
const expectWhole = () => expect(readFileSync(join(folder, name)).equals(large)).toBe(true);

describe("pull", () => {
  it("writes Hugging Face's cache, and asks for nothing twice", async () => {
    const into = { cache: folder };
    const pulled = await pull("me/model", { ...web(), into });
    const at = join(folder, "models--me--model");
    expect(readFileSync(join(at, "refs/main"), "utf8")).toBe(hub.commit);
    expect(pulled).toMatchObject({
      commit: hub.commit,
      folder: join(at, "snapshots", hub.commit),
      files: { length: 3 },
    });
    expect(readlinkSync(join(pulled.folder, name))).toBe(`../../../blobs/${sha256(large)}`);
    expect(readlinkSync(join(pulled.folder, "config.json"))).toBe(`../../blobs/${gitSha1(small)}`);
    for (const [path, bytes] of Object.entries(hub.files))
      expect(readFileSync(join(pulled.folder, path)).equals(bytes)).toBe(true);
    expect(readdirSync(join(at, "blobs")).sort()).toEqual(
      [sha256(large), gitSha1(small), gitSha1(Buffer.alloc(0))].sort(),
    );
    const { sent } = hub;
    await pull("me/model", { ...web(), into });
    expect(hub.sent).toBe(sent);
  });

  it("brings a dataset, by a revision that is a path too, into the cache of datasets", async () => {
    const pulled = await pull("datasets/me/data@refs/convert/parquet", { ...web(), into: { cache: folder } });
    expect(pulled).toMatchObject({ repository: "datasets/me/data", commit: hub.commit, files: { length: 3 } });
    const at = join(folder, "datasets--me--data");
    expect(readFileSync(join(at, "refs/refs/convert/parquet"), "utf8")).toBe(hub.commit);
    expect(readFileSync(join(at, "snapshots", hub.commit, name)).equals(large)).toBe(true);
  });

  it("brings the same bytes once that have two names, at the same time", async () => {
    hub.files = { "a.bin": large, "b.bin": large, "c.bin": large };
    const pulled = await pull("me/model", { ...web(), into: { cache: folder } });
    for (const { local } of pulled.files) expect(readFileSync(local).equals(large)).toBe(true);
    expect(hub.sent).toBe(large.length);
  });

  it("writes a folder, of files that are asked for, and mends one that is wrong", async () => {
    expect((await bring({ files: ["config.json"] })).files).toMatchObject([
      { path: "config.json", local: join(folder, "config.json") },
    ]);
    expect(finished()).toEqual(["config.json"]);
    writeFileSync(join(folder, "config.json"), Buffer.alloc(small.length));
    await bring({ include: ["*.json", "s*"], exclude: ["*.gguf"] });
    expect(readFileSync(join(folder, "config.json"))).toEqual(small);
    await expect(bring({ files: ["none"] })).rejects.toMatchObject({
      code: "argument",
      message: expect.stringMatching(/has no file none; it has config\.json/),
    });
    await expect(bring({ include: ["*.bin"] })).rejects.toMatchObject({ code: "argument" });
  });

  it("tells its token to the endpoint and to nobody else", async () => {
    await bring({}, { token: "secret" });
    const tokens = (host: string) => [
      ...new Set(hub.log.filter((entry) => entry.host === host).map(({ token }) => token)),
    ];
    expect(tokens("endpoint")).toEqual(["Bearer secret"]);
    expect(tokens("files")).toEqual([undefined]);
  });

  it("uses several connections, and goes on where each of 50 was cut", async () => {
    let cuts = 0;
    hub.serve = ({ range, content, response, honest }) => {
      if (cuts === 50 || range === undefined) return honest();
      cuts++;
      const part = content.subarray(...range);
      const kept = part.subarray(0, Math.floor(part.length / (3 + (cuts % 7))));
      hub.sent += kept.length;
      response.writeHead(206, {
        "content-length": part.length,
        "content-range": `bytes ${range[0]}-${range[1] - 1}/${content.length}`,
      });
      response.write(kept, () => response.destroy());
    };
    await bring({ files: [name] });
    expect(cuts).toBe(50);
    expectWhole();
    // What was cut off is asked for again, and nothing else: some of what was sent may not have arrived.
    expect(hub.sent).toBeLessThan(1.5 * large.length);
  });

  it("goes on after each of 50 interruptions of its own", async () => {
    let stop = new AbortController();
    hub.serve = ({ range, content, response }) => {
      const part = content.subarray(...range!);
      response.writeHead(206, {
        "content-length": part.length,
        "content-range": `bytes ${range![0]}-${range![1] - 1}/${content.length}`,
      });
      hub.sent += Math.min(18_000, part.length);
      if (part.length <= 18_000) return response.end(part);
      // The rest of the answer never comes.
      response.write(part.subarray(0, 18_000), () => setTimeout(() => stop.abort(), 30));
    };
    let interruptions = 0;
    for (; ; interruptions++) {
      stop = new AbortController();
      try {
        await bring({ files: [name] }, { signal: stop.signal });
        break;
      } catch (error) {
        expect(error).toMatchObject({ code: "cancelled" });
        expect(finished()).toEqual([]);
      }
    }
    expect(interruptions).toBeGreaterThanOrEqual(50);
    expectWhole();
    expect(hub.sent).toBeLessThan(1.2 * large.length);
    expect(readdirSync(join(folder, "sub"))).toHaveLength(1);
  });

  const lie = (how: (asked: Asked) => void, once = true) => {
    let told = 0;
    hub.serve = (asked) => (once && told++ > 0 ? asked.honest() : how(asked));
  };
  const lies: Record<string, (asked: Asked) => void> = {
    "other bytes": ({ honest, range }) => {
      const flipped = Buffer.from(large);
      flipped[range![0] + 7]! ^= 4;
      honest(flipped);
    },
    "another part": ({ response, content }) => {
      response.writeHead(206, { "content-range": `bytes 5-${content.length - 1}/${content.length}` });
      response.end(content.subarray(5));
    },
    "another size": ({ response, content }) => {
      response.writeHead(206, { "content-range": `bytes 0-${content.length - 1}/${content.length + 1}` });
      response.end(content);
    },
    "too many bytes": ({ response, content, range }) => {
      response.writeHead(206, { "content-range": `bytes ${range![0]}-${range![1] - 1}/${content.length}` });
      response.end(Buffer.concat([content.subarray(...range!), Buffer.from("more")]));
    },
    "a web page": ({ response }) => {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
      response.end("<html>please log in</html>");
    },
    "compressed bytes": ({ response, content }) => {
      response.writeHead(200, { "content-encoding": "gzip" });
      response.end(gzipSync(content));
    },
    "429 with Retry-After": ({ response }) => {
      response.writeHead(429, { "retry-after": "0" });
      response.end();
    },
    "503 with a date": ({ response }) => {
      response.writeHead(503, { "retry-after": new Date().toUTCString() });
      response.end("busy");
    },
    "an expired address": ({ response }) => {
      response.writeHead(403);
      response.end("expired");
    },
    "nothing, and goes away": ({ response }) => void response.destroy(),
  };

  it.each(Object.keys(lies))("is not fooled by a server that once sends %s", async (what) => {
    lie(lies[what]!);
    await bring({ files: [name] });
    expectWhole();
  });

  it.each(Object.keys(lies))("refuses, and names nothing, when it always gets %s", async (what) => {
    lie(lies[what]!, false);
    const failure = await bring({ files: [name] }, { attempts: 2 }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: what === "other bytes" ? "format" : "io" });
    expect(finished()).toEqual([]);
    // Wrong bytes are not kept to go on with, either.
    if (what === "other bytes") expect(readdirSync(join(folder, "sub"))).toEqual([]);
  });

  it("takes a file that comes as a whole only, also when it is cut", async () => {
    let cut = false;
    hub.serve = ({ response, content }) => {
      response.writeHead(200, { "content-length": content.length });
      if (cut) response.end(content);
      else response.write(content.subarray(0, 2_000_000), () => response.destroy());
      cut = true;
    };
    await bring({ files: [name] });
    expectWhole();
  });

  it("gives up a connection on which nothing comes", async () => {
    lie(({ response, content, range }) => {
      response.writeHead(206, { "content-range": `bytes ${range![0]}-${range![1] - 1}/${content.length}` });
      response.write(content.subarray(range![0], range![0] + 1000));
    });
    await bring({ files: [name] }, { stallSeconds: 0.3 });
    expectWhole();
  });

  it("begins anew when the file changes meanwhile", async () => {
    const older = noise(large.length, "older");
    const stop = new AbortController();
    hub.serve = ({ response, range }) => {
      const part = older.subarray(...range!);
      response.writeHead(206, {
        etag: '"old"',
        "content-range": `bytes ${range![0]}-${range![1] - 1}/${older.length}`,
      });
      response.write(part.subarray(0, 500_000), () => setTimeout(() => stop.abort(), 50));
    };
    await expect(bring({ files: [name] }, { signal: stop.signal })).rejects.toMatchObject({ code: "cancelled" });
    hub.serve = ({ honest }) => honest();
    hub.sent = 0;
    await bring({ files: [name] });
    expectWhole();
    // The first answer with the new tag, broken off, is part of it.
    expect(hub.sent).toBeLessThanOrEqual(2 * large.length);
  });

  it("goes on with another commit's file of the same hash, and not with one of another", async () => {
    const stop = new AbortController();
    hub.serve = ({ response, range, content }) => {
      response.writeHead(206, { "content-range": `bytes ${range![0]}-${range![1] - 1}/${content.length}` });
      response.write(content.subarray(range![0], range![0] + 300_000), () => setTimeout(() => stop.abort(), 50));
    };
    await expect(bring({ files: [name] }, { signal: stop.signal })).rejects.toMatchObject({ code: "cancelled" });
    const other = noise(large.length, "other");
    hub.files[name] = other;
    hub.serve = ({ honest }) => honest();
    await bring({ files: [name] });
    expect(readFileSync(join(folder, name)).equals(other)).toBe(true);
  });

  it("refuses a listing that leads out, has no hash, or is none", async () => {
    for (const path of ["../x", "/etc/x", "a/../../x", "C:/x", "a\\..\\x", ""]) {
      hub.listed["config.json"] = { path };
      await expect(bring()).rejects.toMatchObject({
        code: "format",
        message: expect.stringMatching(/below the repository/),
      });
    }
    hub.listed["config.json"] = { oid: "../../x" };
    await expect(bring()).rejects.toMatchObject({ code: "format", message: expect.stringMatching(/no hash/) });
    hub.listed["config.json"] = { size: -1 };
    await expect(bring()).rejects.toMatchObject({ code: "format", message: expect.stringMatching(/no size/) });
    hub.api = (_, response) => {
      response.end("<html>");
      return true;
    };
    await expect(bring()).rejects.toMatchObject({ code: "format", message: expect.stringMatching(/not JSON/) });
    expect(finished()).toEqual([]);
  });

  it("says what to do without access, and does not try again", async () => {
    let asked = 0;
    hub.api = (_, response) => {
      asked++;
      response.writeHead(401);
      response.end();
      return true;
    };
    await expect(bring()).rejects.toMatchObject({ code: "io", message: expect.stringMatching(/HF_TOKEN/) });
    expect(asked).toBe(1);
    await expect(pull("me/model@none", { ...web(), into: { folder } })).rejects.toMatchObject({ code: "io" });
    for (const wrong of ["model", "a/b/c", "../x", "a b", "me/model@../x", "me/model@a b", "@main", ""]) {
      await expect(pull(wrong, { ...web(), into: { folder } })).rejects.toMatchObject({ code: "argument" });
    }
  });

  it("is told at once where nobody can be reached, but by a download that is under way", async () => {
    const online = globalThis.fetch;
    let asked = 0;
    const offline = async () => {
      asked++;
      throw new TypeError("fetch failed", { cause: Object.assign(new Error("none"), { code: "ENOTFOUND" }) });
    };
    const told = { code: "io", message: expect.stringMatching(/127\.0\.0\.1 cannot be reached .*online\?$/) };
    vi.stubGlobal("fetch", offline);
    await expect(bring()).rejects.toMatchObject(told);
    expect(asked).toBe(1);
    // Twice in the middle.
    vi.stubGlobal("fetch", (...request: Parameters<typeof fetch>) =>
      String(request[0]).includes("/resolve/") && asked++ % 2 === 1 && asked < 6 ? offline() : online(...request),
    );
    await bring();
    expectWhole();
    vi.unstubAllGlobals();
  });

  it("is told at once what the next attempt would be told too", async () => {
    const refused = (endpoint: string, more: Partial<Web> = {}) =>
      pull("me/model", { ...web({ endpoint, ...more }), into: { folder } }).catch((error: unknown) => error);
    // No program of the web asks port 1; and what answers here speaks no TLS.
    for (const [endpoint, why] of [
      ["http://127.0.0.1:1", /bad port/],
      [hub.endpoint.replace("http:", "https:"), /SSL|packet/],
    ] as const) {
      const failure = await refused(endpoint);
      expect(failure).toMatchObject({ code: "io", message: expect.stringMatching(why) });
      expect((failure as { details: object }).details).not.toHaveProperty("attempts");
    }
    const failure = (await refused(hub.endpoint, { token: "se\ncret" })) as Error;
    expect(failure).toMatchObject({ code: "argument" });
    expect(failure.message).not.toContain("cret");
    // A certificate of somebody else's.
    let asked = 0;
    vi.stubGlobal("fetch", async () => {
      asked++;
      throw new TypeError("fetch failed", {
        cause: Object.assign(new Error("self-signed certificate"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" }),
      });
    });
    await refused(hub.endpoint);
    vi.unstubAllGlobals();
    expect(asked).toBe(1);
  });

  it("asks for space before the first byte, and keeps what was there when the disk is full", async () => {
    hub.listed[name] = { lfs: { oid: sha256(large), size: 2 ** 52, pointerSize: 1 } };
    await expect(bring()).rejects.toMatchObject({
      code: "capacity",
      message: expect.stringMatching(/free on its disk/),
    });
    expect(hub.sent).toBe(0);
  });

  it("fails clearly on a disk that fills up, and goes on when there is room", async ({ skip }) => {
    mkdirSync(folder);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=80m", "tmpfs", folder], { stdio: "ignore" });
    } catch {
      skip("a small disk can be mounted by root only");
    }
    try {
      // Somebody else takes the space after it was asked for.
      hub.serve = ({ honest, count }) => {
        if (count === 0) {
          try {
            writeFileSync(join(folder, "filler"), Buffer.alloc(79 << 20));
            writeFileSync(join(folder, "filler2"), Buffer.alloc(600 << 10));
          } catch {
            // Full.
          }
        }
        honest();
      };
      await expect(bring({ files: [name] })).rejects.toMatchObject({
        code: "io",
        message: expect.stringMatching(/no space left/),
      });
      expect(finished()).toEqual(["filler", "filler2"]);
      rmSync(join(folder, "filler"));
      await bring({ files: [name] });
      expectWhole();
    } finally {
      execFileSync("umount", [folder]);
    }
  });

  it("leaves a file alone that another process is downloading", async () => {
    mkdirSync(join(folder, "sub"), { recursive: true });
    const lock = join(folder, `${name}.${sha256(large).slice(0, 12)}.grok1-partial.lock`);
    writeFileSync(lock, String(process.ppid));
    await expect(bring({ files: [name] })).rejects.toMatchObject({
      code: "io",
      message: expect.stringMatching(/is downloading it/),
    });
    // Of a process that is no more.
    writeFileSync(lock, "99999999");
    await bring({ files: [name] });
    expectWhole();
    expect(existsSync(lock)).toBe(false);
  });
});
