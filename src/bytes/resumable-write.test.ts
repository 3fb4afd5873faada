import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { type ResumableFile, writeResumable } from "./resumable-write.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-resumable-"));
const path = join(folder, "out");
afterEach(() => readdirSync(folder).map((name) => rmSync(join(folder, name))));
afterAll(() => rmSync(folder, { recursive: true }));

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Four sections; `asked` gathers whose data was asked for, and `fail` is called before a section's last chunk. */
function content(
  asked: number[] = [],
  fail: (section: number) => void = () => undefined,
  madeFrom = "a",
): ResumableFile {
  const sections = [3000, 1, 70_000, 512].map((bytes, i) => ({
    name: `section ${i}`,
    bytes,
    padding: new Uint8Array(i),
    *data() {
      asked.push(i);
      const all = Uint8Array.from({ length: bytes }, (_, j) => (j * 7 + i) & 255);
      const half = bytes >> 1;
      yield all.subarray(0, half);
      fail(i);
      yield all.subarray(half);
    },
  }));
  return { head: Buffer.from("the head"), sections, madeFrom };
}

const whole = Buffer.concat([
  Buffer.from("the head"),
  ...content().sections.flatMap(({ data, padding }) => [...(data() as Generator<Uint8Array>), padding]),
]);

const breakAt = (at: number) => (section: number) => {
  if (section === at) throw new Error("the lights went out");
};

describe("writing that can be continued", () => {
  it("writes all parts, and tells their hashes and places", async () => {
    const written = await writeResumable(path, content());
    expect(Buffer.compare(readFileSync(path), whole)).toBe(0);
    expect(written).toMatchObject({ bytes: whole.length, sha256: sha256(whole), kept: 0 });
    for (const { offset, bytes, sha256: hash } of written.sections) {
      expect(hash).toBe(sha256(whole.subarray(offset, offset + bytes)));
    }
    expect(readdirSync(folder)).toEqual(["out"]);
  });

  it.each([1, 2, 3])(
    "goes on after %i finished sections, asks for none of them again, and ends with the same",
    async (at) => {
      await expect(writeResumable(path, content([], breakAt(at)))).rejects.toThrow("the lights went out");
      expect(readdirSync(folder).sort()).toEqual(["out.journal", "out.partial"]);
      const asked: number[] = [];
      const kept: boolean[] = [];
      const onProgress = (progress: { kept: boolean }) => kept.push(progress.kept);
      const written = await writeResumable(path, content(asked), { onProgress });
      expect(asked).toEqual([0, 1, 2, 3].slice(at));
      expect(kept.indexOf(false)).toBe(at);
      expect(written).toMatchObject({ sha256: sha256(whole), kept: at });
      expect(Buffer.compare(readFileSync(path), whole)).toBe(0);
      expect(readdirSync(folder)).toEqual(["out"]);
    },
  );

  it("leaves nothing where nothing was finished, and what stood under the name as it was", async () => {
    writeFileSync(path, "before");
    await expect(writeResumable(path, content([], breakAt(0)))).rejects.toThrow("the lights went out");
    await expect(writeResumable(path, content(), { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "cancelled",
    });
    expect(readdirSync(folder)).toEqual(["out"]);
    expect(readFileSync(path, "utf8")).toBe("before");
  });

  it("begins anew for other content", async () => {
    await expect(writeResumable(path, content([], breakAt(3)))).rejects.toThrow();
    const asked: number[] = [];
    expect((await writeResumable(path, content(asked, undefined, "b"))).kept).toBe(0);
    expect(asked).toEqual([0, 1, 2, 3]);
  });

  it.each([
    ["a byte of a finished section is another", () => flip(join(folder, "out.partial"), 8 + 3000 + 0), 1],
    ["the partial file is shorter than noted", () => truncateSync(join(folder, "out.partial"), 3100), 2],
    ["the partial file is gone", () => rmSync(join(folder, "out.partial")), 0],
    ["the journal ends half-way through a line", () => cut(join(folder, "out.journal"), 10), 2],
    ["the journal is of another kind", () => writeFileSync(join(folder, "out.journal"), "[]\n{}\n"), 0],
    ["the journal is gone", () => rmSync(join(folder, "out.journal")), 0],
  ] as const)("takes over only what is right when %s", async (_, damage, expected) => {
    await expect(writeResumable(path, content([], breakAt(3)))).rejects.toThrow();
    damage();
    const written = await writeResumable(path, content());
    expect(written).toMatchObject({ sha256: sha256(whole), kept: expected });
    expect(Buffer.compare(readFileSync(path), whole)).toBe(0);
  });

  it("gives a file its name only if it is still its own", async () => {
    const other = async () => {
      rmSync(join(folder, "out.partial"));
      writeFileSync(join(folder, "out.partial"), "another process's");
    };
    await expect(writeResumable(path, content(), { beforeNaming: other })).rejects.toMatchObject({
      code: "io",
      message: expect.stringContaining("another process"),
    });
    expect(existsSync(path)).toBe(false);
  });

  it("refuses sections that are not as long as they say", async () => {
    const { head, madeFrom, sections } = content();
    for (const bytes of [2999, 3001]) {
      const wrong = { head, madeFrom, sections: [{ ...sections[0]!, bytes }] };
      await expect(writeResumable(path, wrong)).rejects.toMatchObject({ code: "argument" });
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  it("says how much space is missing before it writes", async () => {
    const { head, madeFrom, sections } = content();
    const asked: number[] = [];
    const vast = {
      ...sections[0]!,
      bytes: 2 ** 52,
      data() {
        asked.push(0);
        return [];
      },
    };
    await expect(writeResumable(path, { head, madeFrom, sections: [vast] })).rejects.toMatchObject({
      code: "io",
      message: expect.stringMatching(/bytes are needed, and the disk has \d+ left/),
    });
    expect(asked).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
  });
});

function flip(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at]! ^= 1;
  writeFileSync(file, bytes);
}

function cut(file: string, bytes: number): void {
  truncateSync(file, readFileSync(file).length - bytes);
}
