import { InvalidArgumentError } from "commander";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { adapterList, choice, integer, number, repeated, size, text, tokenBias, tokenList } from "./values.ts";

const refused = (read: () => unknown, saying: RegExp) => {
  expect(read).toThrow(InvalidArgumentError);
  expect(read).toThrow(saying);
};

describe("option values", () => {
  it("whole numbers keep to their range and say it", () => {
    expect(integer(1, 9)("9")).toBe(9);
    for (const wrong of ["0", "10", "1.5", "x", "", "1e1", "0x4", "9007199254740993"]) {
      refused(() => integer(1, 9)(wrong), /whole number from 1 to 9/);
    }
    refused(() => integer(0)("-1"), /of at least 0/);
    refused(() => integer(0)("9007199254740993"), /from 0 to 9007199254740991/);
  });

  it("any whole number in the range is read as itself", () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (n) => {
        expect(integer(Number.MIN_SAFE_INTEGER)(String(n))).toBe(n);
      }),
    );
  });

  it("numbers are finite", () => {
    expect(number(0, 2)("0.7")).toBe(0.7);
    expect(number(0, 2)("1e-3")).toBe(0.001);
    for (const wrong of ["NaN", "Infinity", "-0.1", "2.1", "", " ", "1,5"]) {
      refused(() => number(0, 2)(wrong), /number from 0 to 2/);
    }
  });

  it("choices are listed in the error", () => {
    expect(choice("auto", "native")("auto")).toBe("auto");
    refused(() => choice("auto", "native")("gpu"), /one of auto, native/);
  });

  it("lists and biases", () => {
    expect(tokenList()("5,300,17")).toEqual([5, 300, 17]);
    for (const wrong of ["", "5,,3", "5;3", "-1", "1.5"]) refused(() => tokenList()(wrong), /token ids/);
    const read = tokenBias();
    expect(read("7=-inf", read("42=-1.5", undefined))).toEqual({ 42: -1.5, 7: Number.NEGATIVE_INFINITY });
    for (const wrong of ["42", "=1", "a=1", "1=inf", "1=NaN"]) refused(() => read(wrong, undefined), /TOKEN=BIAS/);
    expect(repeated(text())("b", ["a"])).toEqual(["a", "b"]);
    refused(() => text()(""), /some text/);
  });

  it("sizes are numbers with a unit by powers of 1024, or of bytes", () => {
    for (const [given, bytes] of [
      ...([
        ["512M", 2 ** 29],
        ["2G", 2 ** 31],
        ["1.5GiB", 1.5 * 2 ** 30],
        ["96gb", 96 * 2 ** 30],
      ] as const),
      ...([
        ["88201792", 88201792],
        ["88201792B", 88201792],
        [" 1K ", 1024],
      ] as const),
    ]) {
      expect(size()(given)).toBe(bytes);
    }
    for (const wrong of ["", "G", "1.5", "-1", "2X", "1e9", "88,201,792", "99999999999999999"]) {
      refused(() => size()(wrong), /such as 512M or 2G, or a number of bytes/);
    }
  });

  it("adapters have a scale where a number follows the last colon, and no senseless one", () => {
    const read = (entry: string) => adapterList()(entry, undefined)[0];
    for (const [entry, path, scale] of [
      ["lib/poet", "lib/poet", 1],
      ["poet:0.5", "poet", 0.5],
      ["poet:-1e-2", "poet", -0.01],
      ["poet:0", "poet", 0],
      ["poet:1000", "poet", 1000],
      ["C:poet", "C:poet", 1],
      ["a:2:3", "a:2", 3],
    ] as const) {
      expect(read(entry)).toEqual({ path, scale });
    }
    for (const wrong of ["x:1e300", "x:1e999", "x:-1001", "x:NaN", "x:inf", "x:-Infinity"]) {
      refused(() => read(wrong), /a scale from -1000 to 1000/);
    }
    refused(() => read(""), /FILE:SCALE/);
  });
});
