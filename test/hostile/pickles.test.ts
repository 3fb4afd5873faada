import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openDataFile } from "../../src/bytes/data-file.ts";
import { GrokError } from "../../src/errors.ts";
import { readPickle } from "../../src/formats/xai/pickle.ts";
import { createRandom } from "../../src/kernels/oracle.case.ts";
import { array, dtype, global, int, type PickleParts, pickle, quantized, text, u32, u64 } from "../support/pickles.ts";
import { untar } from "../support/untar.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-pickles-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "tensor00000_000");

function read(bytes: Uint8Array) {
  writeFileSync(path, bytes);
  const file = openDataFile(path);
  try {
    return readPickle(file);
  } finally {
    file.close();
  }
}

const marker = join(folder, "it-ran");
const command: PickleParts = [text(`touch ${marker}`), "\x85"];
const floats = (count: number) => new Uint8Array(4 * count);
const plain = array({ shape: [2, 3], elements: floats(6) });
const int8 = (shape: number[], fortran = false): PickleParts =>
  array({ type: "i1", shape, fortran, elements: new Uint8Array(shape.reduce((a, b) => a * b, 1)) });
const half = (shape: number[]): PickleParts =>
  array({ type: "bfloat16", shape, elements: new Uint8Array(2 * shape.reduce((a, b) => a * b, 1)) });

describe("a checkpoint's pickle", () => {
  it("describes arrays and quantized weights, and where their elements lie", () => {
    const bytes = pickle(plain);
    expect(read(bytes)).toEqual({
      kind: "array",
      built: { type: "f4", shape: [2, 3], fortran: false, offset: bytes.length - 27, bytes: 24 },
    });
    expect(read(pickle(quantized(int8([2, 4, 6], true), half([2, 1, 6]))))).toMatchObject({
      kind: "quantized",
      built: {
        weight: { type: "i1", shape: [2, 4, 6], fortran: true, bytes: 48 },
        scales: { type: "bfloat16", shape: [2, 1, 6], fortran: false, bytes: 24 },
      },
    });
  });

  it.each<[string, PickleParts, RegExp]>([
    ["os.system", [global("posix", "system"), command, "R"], /"posix\.system"/],
    ["os.system by its other name", [global("os", "system"), command, "R"], /"os\.system"/],
    ["builtins.eval", [global("builtins", "eval"), text("1"), "\x85R"], /"builtins\.eval"/],
    ["an old reference", ["cposix\nsystem\n", command, "R"], /"posix\.system"/],
    ["an old instance", ["(", text("x"), "iposix\nsystem\n"], /"posix\.system"/],
    ["subprocess made anew", [global("subprocess", "Popen"), command, "\x81"], /"subprocess\.Popen"/],
    ["a name that begins as an allowed one", [global("numpy.dtype", "__class__")], /"numpy\.dtype\.__class__"/],
    [
      "an allowed name split elsewhere, of another module",
      [global("numpy", "core.multiarray.x")],
      /core\.multiarray\.x/,
    ],
    ["numpy's own loader", [global("numpy", "load"), command, "R"], /"numpy\.load"/],
    [
      "os.system from remembered texts",
      [text("posix"), "\x94", text("system"), "\x94", "h\x00h\x01\x93", command, "R"],
      /"posix\.system"/,
    ],
    [
      "a remembered name that is replaced",
      [text("numpy"), "q\x00", text("posix"), "q\x00"],
      /remembered as 0 is replaced/,
    ],
    ["a name that nobody remembered", ["h\x07"], /nothing was remembered as 7/],
    ["a call of an array", [plain, ")R"], /calls a value of kind array/],
    ["a call of what a call gives", [dtype("f4"), ")R"], /calls a value of kind dtype/],
    [
      "a call inside a call",
      [global("numpy", "dtype"), [global("builtins", "exec"), command, "R"], "\x85R"],
      /"builtins\.exec"/,
    ],
    ["a call of what is only a type", [global("numpy", "ndarray"), ")R"], /calls numpy\.ndarray/],
    ["a call of a text", [text("posix"), ")R"], /calls a value of kind text/],
    [
      "an array with arguments of its own",
      [global("numpy.core.multiarray", "_reconstruct"), command, "R"],
      /other arguments/,
    ],
    [
      "an object of an element type",
      [global("ml_dtypes", "bfloat16"), ")\x81"],
      /makes an object of ml_dtypes\.bfloat16/,
    ],
    ["a weight with arguments", [global("__main__", "QuantizedWeight8bit"), command, "\x81"], /with arguments/],
    [
      "state for a class",
      [global("__main__", "QuantizedWeight8bit"), "}b"],
      /sets the state of a value of kind global/,
    ],
    ["a member that is no array", quantized(text("x"), half([1, 1])), /weight is a value of kind text/],
    ["a third member", [global("__main__", "QuantizedWeight8bit"), ")\x81}(", text("__reduce__"), "Nub"], /1 members/],
    ["an array's state set twice", [plain, "\x94(K\x01)", dtype("f4"), "\x89C\x00tb"], /set twice/],
    ["a persistent reference", ["Px\n"], /PERSID/],
    ["an extension's code", ["\x82\x01"], /EXT1/],
    ["an array of objects", array({ type: "O8", shape: [1], elements: floats(2) }), /an array of "O8"/],
    [
      "a byte order of other machines",
      [
        [global("numpy", "dtype"), text("f4"), "\x89\x88\x87R"],
        ["(K\x03", text(">"), "NNN", int(-1), int(-1), "K\x00tb"],
      ],
      /byte order ">"/,
    ],
    [
      "a shape of more than there is",
      array({ shape: [2 ** 30, 2 ** 30], elements: floats(2) }),
      /has 8 bytes, expected 46116860184273\d+/,
    ],
    ["a negative axis", array({ shape: [-2, -3], elements: floats(6) }), /axis is -2 long/],
    ["bytes of more than the file", ["B", u32(2 ** 32 - 1)], /4294967295 bytes are announced/],
    ["bytes of 2^60", ["\x8e", u64(2n ** 60n)], /11529215046068\d+ bytes are announced/],
    ["a text of 2^60", ["\x8d", u64(2n ** 60n)], /a text of 11529215046068\d+ bytes/],
    ["a frame of 2^63", ["\x95", u64(2n ** 63n)], /a frame of 92233720368547\d+ bytes/],
    ["a million marks", ["(".repeat(1_000_000)], /more than 256 values/],
    ["a million nested tuples", ["N", "\x85".repeat(1_000_000)], /more than 4096 instructions/],
    ["a million things remembered", ["N", "\x94".repeat(1_000_000)], /more than 4096 instructions/],
    ["nothing at its end", [], /takes a value, and there is none/],
    ["two values at its end", ["NN"], /1 values too many/],
    ["an end, and more behind it", [plain, ".", plain], /bytes behind its end/],
  ])("refuses %s by name, and runs nothing", (_, parts, message) => {
    expect(() => read(pickle(parts))).toThrow(message);
    expect(() => read(pickle(parts))).toThrow(GrokError);
    expect(existsSync(marker)).toBe(false);
  });

  it("refuses other protocols, and what is no pickle", () => {
    expect(() => read(Buffer.from("\x80\x05N.", "latin1"))).toThrow(/protocol 5, expected 4/);
    expect(() => read(Buffer.from("GGUF"))).toThrow(/not a pickle/);
    expect(() => read(Buffer.alloc(0))).toThrow(/ends at byte 0/);
  });

  it("takes little memory for a tensor of 3 GB, which it leaves where it is", () => {
    const head = pickle(array({ type: "i1", shape: [8, 6144, 65536], elements: new Uint8Array(0) }));
    const length = 8 * 6144 * 65536;
    const at = head.length - 3;
    head.set(u32(length), at - 4);
    writeFileSync(path, head.subarray(0, at));
    truncateSync(path, at + length);
    const file = Buffer.from("tb.");
    writeFileSync(path, file, { flag: "a" });
    const opened = openDataFile(path);
    const before = process.memoryUsage().arrayBuffers;
    expect(readPickle(opened)).toMatchObject({ built: { shape: [8, 6144, 65536], offset: at, bytes: length } });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
    opened.close();
  });

  it("of 1,000 mutations refuses or describes each, within the file's bytes, and runs none", () => {
    untar(join(import.meta.dirname, "../vectors/xai/int8.tar.gz"), folder);
    const original = readFileSync(join(folder, "ckpt-0/tensor00003_000"));
    const random = createRandom(12);
    let refused = 0;
    for (let i = 0; i < 1000; i++) {
      const bytes = Buffer.from(original);
      // In the program, before and behind the elements.
      const place = () => {
        const at = random.below(600);
        return at < 300 ? at : bytes.length - (at - 299);
      };
      const kind = random.below(4);
      let mutated: Uint8Array = bytes;
      if (kind === 0) bytes[place()] = random.below(256);
      else if (kind === 1) for (let n = 0; n < 8; n++) bytes[place()] = random.below(256);
      else if (kind === 2) mutated = bytes.subarray(0, random.below(2) ? place() : random.below(bytes.length));
      else {
        const at = place();
        mutated = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 - random.below(3))]);
      }
      try {
        const value = read(mutated);
        if (value.kind !== "quantized" || value.built === undefined) continue;
        for (const { offset, bytes: length } of [value.built.weight, value.built.scales]) {
          expect(offset + length).toBeLessThanOrEqual(mutated.length);
        }
      } catch (error) {
        expect(error).toBeInstanceOf(GrokError);
        expect(["format", "unsupported", "io"]).toContain((error as GrokError).code);
        expect((error as GrokError).message).toContain(path);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(500);
    expect(existsSync(marker)).toBe(false);
  }, 60_000);
});
