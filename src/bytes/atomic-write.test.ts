import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { GrokError } from "../errors.ts";
import { removeLeftovers, writeAtomic } from "./atomic-write.ts";

const fault = vi.hoisted(() => ({ at: "", after: 0, code: "" }));

/** The real file system, but for the one operation that `fault` names, which fails after so many successes. */
vi.mock("node:fs/promises", async (original) => {
  const fs = await original<typeof import("node:fs/promises")>();
  const trip = (operation: string) => {
    if (fault.at === operation && fault.after-- === 0) throw Object.assign(new Error("injected"), { code: fault.code });
  };
  return {
    ...fs,
    async open(path: string, flags: string, mode?: number) {
      if (flags === "wx") trip("open");
      const file = await fs.open(path, flags, mode);
      const { write, sync } = file;
      file.write = (async (...args: Parameters<typeof write>) => {
        trip("write");
        return write.apply(file, args);
      }) as typeof write;
      file.sync = async () => {
        trip("sync");
        return sync.apply(file);
      };
      return file;
    },
    async rename(from: string, to: string) {
      trip("rename");
      return fs.rename(from, to);
    },
  };
});

const folder = mkdtempSync(join(tmpdir(), "grok1-write-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "out");
beforeEach(() => {
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  Object.assign(fault, { at: "", after: 0, code: "" });
});

const text = (chunks: string[]) => chunks.map((chunk) => Buffer.from(chunk));
const large = () => Array.from({ length: 5 }, (_, i) => new Uint8Array(3 << 20).fill(i));

describe("writeAtomic", () => {
  it("writes chunks of every size in order", async () => {
    const sizes = [0, 1, 7, 1 << 20, (1 << 20) + 1, 3, 5 << 20, 0, 100];
    const chunks = sizes.map((size, i) => new Uint8Array(size).fill(i + 1));
    await writeAtomic(path, chunks);
    expect(Buffer.compare(readFileSync(path), Buffer.concat(chunks))).toBe(0);
    expect(readdirSync(folder)).toEqual(["out"]);
  });

  it("takes chunks whose memory is used again after each step", async () => {
    const shared = new Uint8Array(1000);
    await writeAtomic(
      path,
      (function* () {
        for (let i = 0; i < 5000; i++) yield shared.fill(i);
      })(),
    );
    const bytes = readFileSync(path);
    for (let i = 0; i < 5000; i++) if (bytes[i * 1000 + 999] !== (i & 255)) throw new Error(`chunk ${i} is wrong`);
  });

  it.each(["open", "write", "sync", "rename"])("leaves the old file and nothing else when %s fails", async (at) => {
    writeFileSync(path, "before");
    Object.assign(fault, { at, code: "ENOSPC", after: at === "write" ? 2 : 0 });
    const failure = await writeAtomic(path, large()).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(GrokError);
    expect(failure).toMatchObject({
      code: "io",
      details: { code: "ENOSPC", path },
      message: expect.stringContaining("no space left"),
    });
    expect(readFileSync(path, "utf8")).toBe("before");
    expect(readdirSync(folder)).toEqual(["out"]);
  });

  it("passes on what the source of the chunks throws, and cleans up", async () => {
    const broken = (async function* () {
      yield* large();
      throw new GrokError("format", "bad input");
    })();
    await expect(writeAtomic(path, broken)).rejects.toMatchObject({ code: "format" });
    expect(readdirSync(folder)).toEqual([]);
  });

  it("stops when cancelled, lets the source finish, and cleans up", async () => {
    const stop = new AbortController();
    let finished = false;
    const source = (function* () {
      try {
        for (let i = 0; ; i++) {
          if (i === 3) stop.abort();
          yield new Uint8Array(10);
        }
      } finally {
        finished = true;
      }
    })();
    await expect(writeAtomic(path, source, { signal: stop.signal })).rejects.toMatchObject({ code: "cancelled" });
    expect(finished).toBe(true);
    expect(readdirSync(folder)).toEqual([]);
  });

  /** Begins to write `path` in a process of its own, and comes back when its temporary file is there. */
  async function writeElsewhere() {
    const module = pathToFileURL(join(import.meta.dirname, "../../dist/bytes/atomic-write.js")).href;
    const code = `import { writeAtomic } from ${JSON.stringify(module)};
      const endless = async function* () { for (;;) { yield new Uint8Array(3 << 20); console.log("written"); await new Promise((r) => setTimeout(r, 50)); } };
      await writeAtomic(${JSON.stringify(path)}, endless());`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    const [leftover] = readdirSync(folder).filter((name) => name.endsWith(".partial"));
    const kill = async () => {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    };
    return { leftover: leftover!, kill };
  }

  it("takes away what a killed process left of the same file, and nothing of one that lives", async () => {
    const { leftover, kill } = await writeElsewhere();
    try {
      await writeAtomic(path, text(["while it writes"]));
      expect(readdirSync(folder).sort()).toEqual([leftover, "out"].sort());
    } finally {
      await kill();
    }
    expect(readdirSync(folder)).toContain(leftover);
    await writeAtomic(join(folder, "other"), text(["another file"]));
    expect(readdirSync(folder)).toContain(leftover);
    // Who begins to use a folder takes away all that nobody writes any more.
    const living = leftover.replace(/\.\d+\.([0-9a-f]{12}\.)/, `.${process.pid}.$1`);
    for (const name of [living, leftover.replace("out", "another")]) writeFileSync(join(folder, name), "");
    await removeLeftovers(folder);
    expect(readdirSync(folder).filter((name) => name.endsWith(".partial"))).toEqual([living]);
    rmSync(join(folder, living));
    writeFileSync(join(folder, leftover), "");
    // Another machine's process can have this number too.
    const [, stem, machine, rest] = /^(\.out)\.([0-9a-f]{8})\.(.*)$/.exec(leftover)!;
    const elsewhere = `${stem}.${machine === "00000000" ? "11111111" : "00000000"}.${rest}`;
    for (const name of [elsewhere, `${leftover}.txt`]) writeFileSync(join(folder, name), "kept");
    await writeAtomic(path, text(["afterwards"]));
    expect(readFileSync(path, "utf8")).toBe("afterwards");
    expect(readdirSync(folder).sort()).toEqual([elsewhere, `${leftover}.txt`, "other", "out"].sort());
  });

  it("writes files with the longest names there are", async () => {
    for (const name of ["x".repeat(255), "字".repeat(85)]) {
      await writeAtomic(join(folder, name), text(["long"]));
      expect(readFileSync(join(folder, name), "utf8")).toBe("long");
    }
    expect(readdirSync(folder)).toHaveLength(2);
  });

  it("follows a link and keeps the file's mode", async () => {
    writeFileSync(join(folder, "real"), "before", { mode: 0o640 });
    symlinkSync("real", path);
    await writeAtomic(path, text(["after"]));
    expect(readFileSync(join(folder, "real"), "utf8")).toBe("after");
    expect(statSync(join(folder, "real")).mode & 0o777).toBe(0o640);
  });

  it("refuses what is not a regular file, and a missing folder", async () => {
    for (const name of [folder, join(folder, "none", "out"), "/dev/null"]) {
      await expect(writeAtomic(name, text(["x"]))).rejects.toMatchObject({
        code: "io",
        message: expect.stringContaining(name),
      });
    }
    expect(existsSync(join(folder, "none"))).toBe(false);
  });
});
