/** Pickles by hand: what Python would write, and what it never would. */
export type PickleParts = string | number | Uint8Array | readonly PickleParts[];

/** Text as its characters' bytes, numbers as bytes. */
export function join(...parts: readonly PickleParts[]): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === "string") return Buffer.from(part, "latin1");
      if (typeof part === "number") return Buffer.of(part);
      return part instanceof Uint8Array ? Buffer.from(part) : join(...part);
    }),
  );
}

export const text = (value: string): PickleParts => ["\x8c", value.length, value];
export const global = (module: string, name: string): PickleParts => [text(module), text(name), "\x93"];
export const u32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);
export const u64 = (value: bigint): Buffer => Buffer.from(BigUint64Array.of(value).buffer);
export const int = (value: number): PickleParts => ["J", u32(value)];
export const pickle = (...parts: readonly PickleParts[]): Buffer => join("\x80\x04", ...parts, ".");

const reconstruct: PickleParts = [
  [global("numpy.core.multiarray", "_reconstruct"), global("numpy", "ndarray")],
  ["K\x00\x85", "C\x01b", "\x87R"],
];

/** The element type of an array as numpy pickles it. */
export const dtype = (type: string): PickleParts =>
  type === "bfloat16"
    ? [
        global("numpy", "dtype"),
        global("ml_dtypes", "bfloat16"),
        "\x89\x88\x87R",
        "(K\x03",
        text("<"),
        "NNNK\x02K\x02K\x50tb",
      ]
    : [
        global("numpy", "dtype"),
        text(type),
        "\x89\x88\x87R",
        "(K\x03",
        text(type === "i1" ? "|" : "<"),
        "NNN",
        int(-1),
        int(-1),
        "K\x00tb",
      ];

export interface ArrayParts {
  readonly type?: string;
  readonly shape: readonly number[];
  readonly fortran?: boolean;
  readonly elements: Uint8Array;
}

/** An array as numpy pickles it. */
export const array = ({ type = "f4", shape, fortran = false, elements }: ArrayParts): PickleParts => [
  [reconstruct, "(K\x01(", shape.map(int), "t", dtype(type), fortran ? "\x88" : "\x89"],
  ["B", u32(elements.length), elements, "tb"],
];

/** xAI's quantized weight. */
export const quantized = (weight: PickleParts, scales: PickleParts): PickleParts => [
  [global("__main__", "QuantizedWeight8bit"), ")\x81}("],
  [text("weight"), weight, text("scales"), scales, "ub"],
];
