/**
 * Python's pickles, protocol 4, as far as a checkpoint of xAI's needs them. A pickle is a program for a machine with a stack, which
 * can call whatever it names. Here it is walked and never run: of the 68 instructions those that lay out data have a meaning, five
 * names may be referred to, and a "call" is a description of an array that is being put together. Opcodes after CPython's `pickletools`.
 */
import type { DataFile } from "../../bytes/data-file.ts";
import { GrokError, shown } from "../../errors.ts";
import { buildValue, callValue, newValue } from "./pickle-objects.ts";
import { type AllowedGlobal, allowedGlobals, type PickleValue } from "./pickle-values.ts";

/** A tensor's pickle has some 120 instructions. */
const mostSteps = 4096;
const mostStack = 256;
const mostTextBytes = 256;
/** Bytes that are read ahead; what is longer than that is elements, and passed over. */
const windowBytes = 1 << 12;

type StackItem = PickleValue | { readonly kind: "mark" };

/**
 * What the pickle in a file describes. Elements of arrays are not read, and nothing of the file is executed.
 * @throws GrokError `io`; `format` for damage, `unsupported` naming what a checkpoint has no use for: both with the place.
 */
export function readPickle(file: DataFile): PickleValue {
  const cursor = createCursor(file);
  const stack: StackItem[] = [];
  const memo = new Map<number, PickleValue>();

  const refuse = (code: "format" | "unsupported", problem: string): GrokError =>
    new GrokError(code, `${file.path}, byte ${cursor.start}: ${problem}`, { path: file.path, offset: cursor.start });
  const push = (value: StackItem) => {
    if (stack.length >= mostStack) throw refuse("format", `more than ${mostStack} values on the stack`);
    stack.push(value);
  };
  const pop = (): PickleValue => {
    const value = stack.pop();
    if (value === undefined) throw refuse("format", "an instruction takes a value, and there is none");
    if (value.kind === "mark") throw refuse("format", "an instruction takes a value, and there is a mark");
    return value;
  };
  const popTo = (): PickleValue[] => {
    const at = stack.findLastIndex(({ kind }) => kind === "mark");
    if (at < 0) throw refuse("format", "an instruction takes the values above a mark, and there is none");
    return stack.splice(at).slice(1) as PickleValue[];
  };
  const tuple = (items: PickleValue[]) => push({ kind: "tuple", items });
  const bytes = (length: number) => {
    if (length > file.size - cursor.at) {
      throw refuse("format", `${length} bytes are announced, and ${file.size - cursor.at} are left in the file`);
    }
    push({ kind: "bytes", offset: cursor.at, length });
    cursor.skip(length);
  };
  const text = (length: number) => {
    if (length > mostTextBytes) throw refuse("format", `a text of ${length} bytes, expected at most ${mostTextBytes}`);
    return cursor.text(length);
  };
  const global = (module: string, name: string) => {
    const full = `${module}.${name}` as AllowedGlobal;
    if (allowedGlobals.includes(full)) return push({ kind: "global", name: full });
    throw refuse(
      "unsupported",
      `refers to ${shown(full)}, and a checkpoint may refer to ${allowedGlobals.join(", ")} alone; nothing of it was executed`,
    );
  };
  const remember = (index: number) => {
    const value = stack.at(-1);
    if (value === undefined || value.kind === "mark") throw refuse("format", "nothing is there to be remembered");
    if (memo.has(index)) throw refuse("format", `what was remembered as ${index} is replaced`);
    if (memo.size >= mostSteps) throw refuse("format", "too much is remembered");
    memo.set(index, value);
  };
  const recall = (index: number) => {
    const value = memo.get(index);
    if (value === undefined) throw refuse("format", `nothing was remembered as ${index}`);
    push(value);
  };
  const put = (target: PickleValue, items: readonly PickleValue[]) => {
    if (target.kind !== "dict" || items.length % 2 !== 0)
      throw refuse("format", "entries are put into what is no dictionary");
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!;
      if (key.kind !== "text") throw refuse("format", `a dictionary's key is a ${key.kind}, expected a text`);
      if (target.entries.has(key.value)) throw refuse("format", `a dictionary has ${shown(key.value)} twice`);
      target.entries.set(key.value, items[i + 1]!);
    }
  };

  const opcodes: Readonly<Record<number, () => void>> = {
    [code("N")]: () => push({ kind: "none" }),
    [code("\x88")]: () => push({ kind: "bool", value: true }),
    [code("\x89")]: () => push({ kind: "bool", value: false }),
    [code("J")]: () => push({ kind: "int", value: cursor.u32() | 0 }),
    [code("K")]: () => push({ kind: "int", value: cursor.u8() }),
    [code("M")]: () => push({ kind: "int", value: cursor.u16() }),
    // LONG1: little-endian two's complement, as long as it says; numbers from 2^31 are written so.
    [code("\x8a")]: () => push({ kind: "int", value: cursor.long(cursor.u8()) }),
    [code("\x8c")]: () => push({ kind: "text", value: text(cursor.u8()) }),
    [code("X")]: () => push({ kind: "text", value: text(cursor.u32()) }),
    [code("\x8d")]: () => push({ kind: "text", value: text(cursor.u64()) }),
    [code("C")]: () => bytes(cursor.u8()),
    [code("B")]: () => bytes(cursor.u32()),
    [code("\x8e")]: () => bytes(cursor.u64()),
    [code("(")]: () => push({ kind: "mark" }),
    [code(")")]: () => tuple([]),
    [code("t")]: () => tuple(popTo()),
    [code("\x85")]: () => tuple([pop()]),
    [code("\x86")]: () => tuple([pop(), pop()].reverse()),
    [code("\x87")]: () => tuple([pop(), pop(), pop()].reverse()),
    [code("}")]: () => push({ kind: "dict", entries: new Map() }),
    [code("s")]: () => {
      const [value, key] = [pop(), pop()];
      const target = pop();
      put(target, [key, value]);
      push(target);
    },
    [code("u")]: () => {
      const items = popTo();
      const target = pop();
      put(target, items);
      push(target);
    },
    [code("\x94")]: () => remember(memo.size),
    [code("q")]: () => remember(cursor.u8()),
    [code("r")]: () => remember(cursor.u32()),
    [code("h")]: () => recall(cursor.u8()),
    [code("j")]: () => recall(cursor.u32()),
    [code("\x93")]: () => {
      const [name, module] = [pop(), pop()];
      if (name.kind !== "text" || module.kind !== "text")
        throw refuse("format", "a name that is no text is referred to");
      global(module.value, name.value);
    },
    [code("c")]: () => global(cursor.line(mostTextBytes), cursor.line(mostTextBytes)),
    [code("i")]: () => global(cursor.line(mostTextBytes), cursor.line(mostTextBytes)),
    [code("R")]: () => {
      const [given, callee] = [pop(), pop()];
      push(callValue(callee, given, refuse));
    },
    [code("\x81")]: () => {
      const [given, callee] = [pop(), pop()];
      push(newValue(callee, given, refuse));
    },
    [code("b")]: () => {
      const state = pop();
      const target = pop();
      buildValue(target, state, file, refuse);
      push(target);
    },
    // FRAME: how much may be read at once.
    [code("\x95")]: () => {
      const length = cursor.u64();
      if (length > file.size - cursor.at) {
        throw refuse("format", `a frame of ${length} bytes, and ${file.size - cursor.at} are left in the file`);
      }
    },
  };

  if (cursor.next() !== 0x80) throw refuse("format", "not a pickle: expected its first byte to be 0x80");
  const protocol = cursor.u8();
  if (protocol !== 4) throw refuse("unsupported", `a pickle of protocol ${protocol}, expected 4`);
  for (let step = 0; step < mostSteps; step++) {
    const opcode = cursor.next();
    if (opcode === code(".")) {
      const value = pop();
      if (stack.length > 0) throw refuse("format", `ends with ${stack.length} values too many on the stack`);
      if (cursor.at < file.size) throw refuse("format", `${file.size - cursor.at} bytes behind its end`);
      return value;
    }
    const act = opcodes[opcode];
    if (act === undefined) throw refuse("unsupported", describeOpcode(opcode));
    act();
  }
  throw refuse("format", `more than ${mostSteps} instructions`);
}

function code(character: string): number {
  return character.charCodeAt(0);
}

/** Instructions that somebody may have put there on purpose, by their names in `pickletools`. */
const otherOpcodes: Readonly<Record<number, string>> = {
  ...{ 130: "EXT1", 131: "EXT2", 132: "EXT4", 146: "NEWOBJ_EX", 128: "PROTO", 139: "LONG4", 143: "EMPTY_SET" },
  ...{ 144: "ADDITEMS", 145: "FROZENSET", 150: "BYTEARRAY8", 151: "NEXT_BUFFER", 152: "READONLY_BUFFER" },
  ...{
    [code("o")]: "OBJ",
    [code("P")]: "PERSID",
    [code("Q")]: "BINPERSID",
    [code("S")]: "STRING",
    [code("G")]: "BINFLOAT",
  },
  ...{
    [code("]")]: "EMPTY_LIST",
    [code("a")]: "APPEND",
    [code("e")]: "APPENDS",
    [code("0")]: "POP",
    [code("1")]: "POP_MARK",
  },
  ...{ [code("2")]: "DUP", [code("d")]: "DICT", [code("l")]: "LIST", [code("I")]: "INT", [code("F")]: "FLOAT" },
  ...{
    [code("g")]: "GET",
    [code("p")]: "PUT",
    [code("V")]: "UNICODE",
    [code("U")]: "SHORT_BINSTRING",
    [code("T")]: "BINSTRING",
  },
};

function describeOpcode(opcode: number): string {
  const name = otherOpcodes[opcode];
  const number = `0x${opcode.toString(16).padStart(2, "0")}`;
  return `${name === undefined ? `the byte ${number}, which is no instruction` : `the instruction ${name} (${number})`}: a checkpoint has no use for it`;
}

/** Little-endian numbers from a file, through a small window. */
function createCursor(file: DataFile) {
  let [window, windowAt] = [new Uint8Array(0), 0];
  const cursor = {
    /** Where the instruction begins that is looked at. */
    start: 0,
    at: 0,
    next(): number {
      cursor.start = cursor.at;
      return take(1)[0]!;
    },
    u8: () => take(1)[0]!,
    u16: () => number(2),
    u32: () => number(4) >>> 0,
    /** What is past 2^53 is past any file's end too. */
    u64: () => number(8),
    long(length: number): number {
      const bytes = take(Math.min(length, 255));
      let value = 0n;
      for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
      if (length > 0 && bytes[length - 1]! >= 128) value -= 1n << BigInt(8 * length);
      return Number(value);
    },
    text: (length: number) => Buffer.from(take(length)).toString("utf8"),
    line(most: number): string {
      let line = "";
      for (let i = 0; i <= most; i++) {
        const byte = take(1)[0]!;
        if (byte === code("\n")) return line;
        line += String.fromCharCode(byte);
      }
      throw new GrokError("format", `${file.path}, byte ${cursor.start}: a name of more than ${most} bytes`, {
        path: file.path,
      });
    },
    skip(length: number): void {
      cursor.at += length;
    },
  };
  const number = (bytes: number) => take(bytes).reduceRight((value, byte) => value * 256 + byte, 0);
  const take = (length: number): Uint8Array => {
    if (cursor.at + length > file.size) {
      throw new GrokError("format", `${file.path}: ends at byte ${file.size} in the middle of a pickle`, {
        path: file.path,
      });
    }
    if (cursor.at < windowAt || cursor.at + length > windowAt + window.length) {
      windowAt = cursor.at;
      window = file.read(windowAt, Math.min(windowBytes, file.size - windowAt));
    }
    const from = cursor.at - windowAt;
    cursor.at += length;
    return window.subarray(from, from + length);
  };
  return cursor;
}
