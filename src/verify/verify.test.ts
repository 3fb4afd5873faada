import { createHash } from "node:crypto";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../formats/gguf/file.ts";
import { readManifest } from "../formats/manifest.ts";
import { verify, writeSums } from "./verify.ts";

const root = mkdtempSync(join(tmpdir(), "grok1-verify-"));
afterAll(() => rmSync(root, { recursive: true }));
const vectors = resolve(import.meta.dirname, "../../test/vectors");
const threads = 2;
let folders = 0;

function newFolder(files: Readonly<Record<string, string | Uint8Array>> = {}): string {
  const folder = join(root, String(folders++));
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

/** What failed and what is noted, as "check: detail". */
async function look(path: string, options: Partial<Parameters<typeof verify>[1]> = {}) {
  const { ok, checks } = await verify([path], { threads, ...options });
  const of = (wanted: string) =>
    checks
      .filter(({ verdict }) => verdict === wanted)
      .map(({ check, path: at, detail }) => `${check} ${at.slice(path.length)}: ${detail}`);
  expect(ok).toBe(of("failed").length === 0);
  return { ok, failed: of("failed"), noted: of("note"), passed: of("ok") };
}

function newModel(name = "mixtral"): string {
  const path = join(newFolder(), "m.gguf");
  cpSync(join(vectors, `models/${name}.gguf`), path);
  return path;
}

function change(path: string, offset: number, ...bytes: number[]): void {
  const content = readFileSync(path);
  content.set(bytes, offset);
  writeFileSync(path, content);
}

describe("lists of checksums", () => {
  it("are written of a folder and find what changed, is missing, or leads elsewhere", async () => {
    const folder = newFolder({ "a b": "hello", "sub/ü": "x", empty: "" });
    symlinkSync("a b", join(folder, "link"));
    expect(await writeSums([folder], { threads })).toEqual([join(folder, "SHA256SUMS")]);
    const sums = readFileSync(join(folder, "SHA256SUMS"), "utf8");
    expect(sums.split("\n").map((line) => line.slice(66))).toEqual(["a b", "empty", "link", "sub/ü", ""]);
    expect(sums).toContain(`${createHash("sha256").update("x").digest("hex")}  sub/ü`);
    expect(await look(folder)).toMatchObject({ ok: true, passed: { length: 4 } });
    writeFileSync(join(folder, "sub/ü"), "y");
    rmSync(join(folder, "empty"));
    const { failed } = await look(join(folder, "SHA256SUMS"));
    expect(failed).toHaveLength(2);
    expect(failed.join()).toMatch(/missing.*says 2d711642/);
    await expect(writeSums([folder], { threads })).rejects.toMatchObject({ code: "argument" });
    writeFileSync(join(folder, "SHA256SUMS"), `${"0".repeat(64)}  ../1/x\n`);
    expect((await look(folder)).failed.join()).toMatch(/leads out/);
  });

  it("are found beside a file", async () => {
    const folder = newFolder({ x: "hello" });
    await writeSums([join(folder, "x")], { threads });
    expect(await look(join(folder, "x"))).toMatchObject({ ok: true, passed: { length: 1 } });
    writeFileSync(join(folder, "x"), "hullo");
    expect((await look(folder)).failed).toHaveLength(1);
  });
});

describe("where nothing can be checked", () => {
  it("a file, an empty one, and a folder fail, each with why", async () => {
    const folder = newFolder({ "t.txt": "hello", empty: "", SHA256SUMS: "" });
    for (const name of ["t.txt", "empty", "SHA256SUMS"]) {
      expect((await look(join(folder, name))).failed.join()).toMatch(/nothing to check it against: .*no .*\.sha256/);
    }
    expect((await look(newFolder({ "t.txt": "x" }))).failed.join()).toMatch(/nothing in it that is known/);
  });

  it("a list of checksums is quickly looked at by the names in it", async () => {
    const folder = newFolder({ a: "1", b: "2" });
    await writeSums([folder], { threads });
    const list = join(folder, "SHA256SUMS");
    expect((await look(list, { quick: true })).passed).toEqual(["complete : all 2 files are there"]);
    rmSync(join(folder, "b"));
    expect((await look(list, { quick: true })).failed).toEqual(["complete : 1 of 2 files are missing: b"]);
    writeFileSync(list, `${"0".repeat(64)}  a\n`);
    expect((await look(list, { quick: true })).passed).toEqual(["complete : its one file is there"]);
    await writeSums([join(folder, "a")], { threads });
    expect(await look(join(folder, "a"), { quick: true })).toMatchObject({ ok: true, noted: { length: 1 } });
  });
});

describe("a model file", () => {
  it.skipIf(process.platform === "win32")("may have a backslash in its name", async () => {
    const path = join(newFolder(), "m\\n.gguf");
    cpSync(join(vectors, "models/mixtral.gguf"), path);
    await writeSums([path], { threads });
    expect(await look(path)).toMatchObject({ ok: true, passed: { length: 4 } });
  });

  it("has a manifest that says which tensor is damaged", async () => {
    const path = newModel();
    expect(await look(path)).toMatchObject({ ok: true, passed: { length: 2 } });
    expect(await writeSums([path], { threads })).toEqual([`${path}.manifest.json`]);
    const manifest = readManifest(`${path}.manifest.json`);
    const file = openGguf(path);
    const bytes = readFileSync(path);
    const sha256 = (part: Uint8Array) => createHash("sha256").update(part).digest("hex");
    expect(manifest).toEqual({
      ...{ file: "m.gguf", size: bytes.length, sha256: sha256(bytes) },
      tensors: [...file.tensors.values()]
        .sort((a, b) => a.offset - b.offset)
        .map(({ name, type, shape, offset, byteLength }) => ({
          ...{ name, type, shape, offset, bytes: byteLength },
          sha256: sha256(bytes.subarray(offset, offset + byteLength)),
        })),
    });
    file.close();
    expect(await look(`${path}.manifest.json`)).toMatchObject({ ok: true, passed: { length: 4 } });
    const hit = manifest.tensors[5]!;
    change(path, hit.offset + 9, bytes[hit.offset + 9]! ^ 1);
    const { failed } = await look(path);
    expect(failed[0]).toMatch(/^sha256/);
    expect(failed[1]).toMatch(new RegExp(`^tensors .*1 of ${manifest.tensors.length} have other bytes: ${hit.name}`));
    writeFileSync(path, bytes);
    change(path, 40, bytes[40]! ^ 1);
    expect((await look(path)).failed.join()).toMatch(/header|readable|not as the manifest says/);
  });

  it("is not whole when it was cut, also in a hurry", async () => {
    const path = newModel();
    truncateSync(path, readFileSync(path).length - 1);
    for (const quick of [true, false])
      expect((await look(path, { quick })).failed.join()).toMatch(/^readable .*of a file of/);
  });

  it("shows NaN, dead experts and scales out of range, by name", async () => {
    const path = newModel();
    const file = openGguf(path);
    const stack = [...file.tensors.values()].find(({ shape }) => shape.length === 3)!;
    const other = [...file.tensors.values()].find(({ shape, type }) => shape.length === 2 && type === stack.type)!;
    const gain = [...file.tensors.values()].find(({ name, type }) => name.endsWith("_norm.weight") && type === "f32")!;
    file.close();
    // What a flipped bit of its exponent makes of a gain.
    const before = readFileSync(path).subarray(gain.offset, gain.offset + 4);
    change(path, gain.offset, 0, 0, 0x80, 0x5f);
    expect((await look(path)).failed.join()).toMatch(`${gain.name}: 1 numbers out of range: up to 2^64`);
    change(path, gain.offset, ...before);
    const each = stack.byteLength / stack.shape[0]!;
    change(path, stack.offset + each, ...new Uint8Array(each));
    expect((await look(path)).failed.join()).toMatch(`${stack.name}: experts 1 of ${stack.shape[0]} are dead`);
    // The last bits of its first number or scale, whatever the type: all ones.
    change(path, other.offset, ...new Uint8Array(4).fill(0xff));
    expect((await look(path)).failed.join()).toMatch(new RegExp(`${other.name}: \\d+ (scales|numbers) are NaN`));
  });
});

describe("signatures", () => {
  // By minisign 0.11, of "hello weights\n".
  const key = "RWSWkKGeDbAWQxNKHIsCPwp8I+I8m/ZKqLGAlsLZb5VA7ikwg/ta6rFh";
  const signature = `untrusted comment: signature from minisign secret key
RUSWkKGeDbAWQzLAiFN1sRWvgJmAJDz1+gigF7gF0B9ZY+J+aM+OCJwDUPrlZYlnehKQrk6dIhTtfhw6EWfxC5DV2JVej+TpCQY=
trusted comment: trusted ünï
H9+xTEitBhsqIPQT2nJ4zWjjeBiOZQyK1GMotS6Y1ADORcuSekIbzwO+K+M+XxUVtkKLTWNfuzZ9p99eRJPcBQ==
`;

  it("are asked for with a key, checked, and mentioned without one", async () => {
    const folder = newFolder({ data: "hello weights\n", "data.minisig": signature, unsigned: "x" });
    const data = join(folder, "data");
    expect((await look(data, { publicKey: key })).passed.join()).toMatch(/^signature .*4316B00D9EA19096: trusted ünï/);
    expect((await look(data)).noted.join()).toMatch(/--public-key/);
    expect((await look(join(folder, "unsigned"), { publicKey: key })).failed.join()).toMatch(/not signed/);
    writeFileSync(data, "hello weightz\n");
    expect((await look(data, { publicKey: key })).failed.join()).toMatch(/not this file's/);
    writeFileSync(`${data}.minisig`, "nothing");
    expect((await look(data, { publicKey: key })).failed.join()).toMatch(/not a signature/);
  });
});

describe("a checkpoint's files", () => {
  const shards = [
    "model-00001-of-00003.safetensors",
    "model-00002-of-00003.safetensors",
    "model-00003-of-00003.safetensors",
  ];

  it("are those of its index", async () => {
    const index = JSON.stringify({ weight_map: Object.fromEntries(shards.map((name, i) => [`t${i}`, name])) });
    const files = Object.fromEntries(shards.map((name, i) => [name, safetensors(`t${i}`)]));
    const folder = newFolder({ ...files, "model.safetensors.index.json": index });
    expect(await look(folder)).toMatchObject({ ok: true, failed: [] });
    rmSync(join(folder, shards[1]!));
    expect((await look(folder)).failed.join()).toMatch(/1 of 3 files are missing: model-00002/);
    expect((await look(newFolder({ [shards[1]!]: safetensors("x") }))).failed.join()).toMatch(
      /2 of 3 parts are missing/,
    );
    const out = newFolder({ "model.safetensors.index.json": '{"weight_map": {"a": "../x.safetensors"}}' });
    expect((await look(out)).failed.join()).toMatch(/outside of its folder/);
  });

  it("are numbered without gaps in ckpt-0, of one size a kind, whole pickles", async () => {
    const pickle = (n: number) =>
      Buffer.concat([Buffer.from([0x80, 4]), Buffer.alloc(((n - 2 + 12) % 12) + 9), Buffer.from(".")]);
    const name = (n: number) => `tensor${String(n).padStart(5, "0")}_000`;
    const folder = newFolder(
      Object.fromEntries(Array.from({ length: 38 }, (_, n) => [`ckpt-0/${name(n)}`, pickle(n)])),
    );
    expect((await look(folder)).passed.join()).toMatch(/all 38 files are there: 3 layers/);
    const at = (n: number) => join(folder, "ckpt-0", name(n));
    writeFileSync(at(20), Buffer.concat([pickle(20).subarray(0, -1), Buffer.from("x")]));
    expect((await look(folder)).failed.join()).toMatch(/not a whole pickle: tensor00020_000/);
    truncateSync(at(20), 5);
    expect((await look(folder)).failed.join()).toMatch(/of another size .*tensor00020_000 \(5 bytes/);
    rmSync(at(37));
    rmSync(at(7));
    expect((await look(join(folder, "ckpt-0"))).failed.join()).toMatch(
      /2 of 38 files are missing: tensor00007_000, tensor00037_000/,
    );
  });
});

it("stops when told to, and names what is not there", async () => {
  const stopped = AbortSignal.abort();
  await expect(verify([newModel()], { threads, signal: stopped })).rejects.toMatchObject({ code: "cancelled" });
  await expect(verify([join(root, "none")], { threads })).rejects.toMatchObject({ code: "io" });
});

function safetensors(name: string): Uint8Array {
  const header = JSON.stringify({ [name]: { dtype: "F32", shape: [2, 2], data_offsets: [0, 16] } });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, Buffer.from(header), Buffer.from(Float32Array.of(1, 2, 3, 4).buffer)]);
}
