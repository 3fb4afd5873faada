import { InvalidArgumentError } from "commander";
import { checkLossy, type Lossy } from "../memory/lossy.ts";
import { maxAdapterScale } from "../model/lora/adapter.ts";
import { homeFolder } from "./home.ts";

/** Readers of option values. Each says in its error what would have been accepted; commander adds the option and the value. */
export type Reader<T = unknown> = (text: string) => T;

export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): Reader<number> {
  return (text) => {
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text.trim()) || !Number.isSafeInteger(value) || value < least || value > most) {
      // The greatest exact number is worth a word only to who went beyond it.
      const unlimited = value > most ? Number.POSITIVE_INFINITY : Number.MAX_SAFE_INTEGER;
      throw new InvalidArgumentError(`Expected a whole number ${range(least, most, unlimited)}.`);
    }
    return value;
  };
}

/** A finite number; `least` and `most` are themselves allowed. */
export function number(least: number, most: number = Number.POSITIVE_INFINITY): Reader<number> {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < least || value > most) {
      throw new InvalidArgumentError(`Expected a number ${range(least, most, Number.POSITIVE_INFINITY)}.`);
    }
    return value;
  };
}

function range(least: number, most: number, unlimited: number): string {
  return most === unlimited ? `of at least ${least}` : `from ${least} to ${most}`;
}

export function choice<T extends string>(...choices: readonly T[]): Reader<T> {
  return (text) => {
    if (!(choices as readonly string[]).includes(text)) {
      throw new InvalidArgumentError(`Expected one of ${choices.join(", ")}.`);
    }
    return text as T;
  };
}

/** Any text but none at all. */
export function text(): Reader<string> {
  return (value) => {
    if (value === "") throw new InvalidArgumentError("Expected some text.");
    return value;
  };
}

/** A file's name. What a shell does with a leading `~` is done here too: none sees config file and variables, or `--out=~/x`. */
export function path(): Reader<string> {
  const some = text();
  return (value) => expandHome(some(value));
}

export function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") ? homeFolder() + path.slice(1) : path;
}

/** Text that may be empty. */
export function anyText(): Reader<string> {
  return (value) => value;
}

/** "5,300,17" → token ids. */
export function tokenList(): Reader<number[]> {
  const one = integer(0, 2 ** 31 - 1);
  return (list) => {
    try {
      return list.split(",").map(one);
    } catch {
      throw new InvalidArgumentError("Expected token ids, whole numbers of at least 0 with commas between them.");
    }
  };
}

/** A repeatable `TOKEN=BIAS`; a bias of `-inf` rules the token out. */
export function tokenBias(): (text: string, before?: Readonly<Record<number, number>>) => Record<number, number> {
  return (entry, before) => {
    const match = /^(\d{1,9})=([+-]?\d*\.?\d+(?:e[+-]?\d+)?|-inf)$/i.exec(entry.trim());
    if (!match) throw new InvalidArgumentError("Expected TOKEN=BIAS, such as 42=-1.5, or 42=-inf.");
    const bias = match[2]!.toLowerCase() === "-inf" ? Number.NEGATIVE_INFINITY : Number(match[2]);
    return { ...before, [Number(match[1])]: bias };
  };
}

/** Gathers a repeatable option's values. */
export function repeated(read: Reader<string>): (text: string, before: readonly string[] | undefined) => string[] {
  return (value, before) => [...(before ?? []), read(value)];
}

/** `prefer-resident=1`, `stand-in=FILE` and the like, as gathered options. */
export function lossyList(): (text: string, before: Lossy | undefined) => Lossy {
  return (text, before) => {
    const [, file] = /^stand-in=(.+)$/s.exec(text) ?? [];
    const [, name, value] = /^(prefer-resident|skip-second)=(\d+(?:\.\d+)?)$/.exec(text) ?? [];
    if (file === undefined && name === undefined) {
      throw new InvalidArgumentError("Expected prefer-resident=X, skip-second=X or stand-in=FILE.");
    }
    const lossy = {
      ...before,
      ...(file === undefined
        ? { [name === "skip-second" ? "skipSecond" : "preferResident"]: Number(value) }
        : { standIn: expandHome(file) }),
    };
    try {
      checkLossy(lossy);
    } catch (error) {
      throw new InvalidArgumentError(`${(error as Error).message}.`);
    }
    return lossy;
  };
}

/** A time such as `45s`, `90m`, `2h`, `1h30m` or `1.5h`, in seconds. */
export function duration(): Reader<number> {
  return (text) => {
    const parts = /^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$/.exec(text.trim());
    const [hours, minutes, seconds] = (parts ?? []).slice(1).map((part) => Number(part ?? 0));
    const value = (hours ?? 0) * 3600 + (minutes ?? 0) * 60 + (seconds ?? 0);
    if (!(value > 0)) throw new InvalidArgumentError("Expected a time such as 45s, 90m, 2h or 1h30m.");
    return value;
  };
}

/** "512M", "2G", "1.5G": bytes, by powers of 1024; "88201792" as they are. */
export function size(): Reader<number> {
  return (value) => {
    const match = /^(?:(\d+(?:\.\d+)?)([KMGT])(?:i?B)?|(\d+)B?)$/i.exec(value.trim());
    const [, count, unit = "", plain] = match ?? [];
    const bytes = Math.floor(Number(plain ?? count) * 1024 ** " KMGT".indexOf(unit.toUpperCase() || " "));
    if (!match || !Number.isSafeInteger(bytes)) {
      throw new InvalidArgumentError("Expected a size such as 512M or 2G, or a number of bytes.");
    }
    return bytes;
  };
}

/** "7GB", "500MB/s", "3.5G": bytes a second above 0, by powers of 1000, as drives and memory are sold. */
export function rate(): Reader<number> {
  return (value) => {
    const [, count, unit] = /^(\d+(?:\.\d+)?)([KMGT])B?(?:\/s)?$/i.exec(value.trim()) ?? [];
    const bytes = Number(count) * 1000 ** ("KMGT".indexOf(unit?.toUpperCase() ?? "") + 1);
    if (!(bytes > 0)) throw new InvalidArgumentError("Expected bytes a second such as 500MB or 7GB.");
    return bytes;
  };
}

/** A repeatable `FILE[:SCALE]`. A colon that no number follows belongs to the file's name. */
export function adapterList(): (
  text: string,
  before: readonly { path: string; scale: number }[] | undefined,
) => { path: string; scale: number }[] {
  return (entry, before) => {
    if (entry === "") throw new InvalidArgumentError("Expected FILE or FILE:SCALE.");
    const { name, scale = 1 } = splitScale(entry);
    if (!(Math.abs(scale) <= maxAdapterScale)) throw new InvalidArgumentError(scaleRange);
    return [...(before ?? []), { path: expandHome(name), scale }];
  };
}

export const scaleRange = `Expected a scale from ${-maxAdapterScale} to ${maxAdapterScale}.`;

/** "NAME:SCALE" in its parts; NaN for a scale that says so, none where no number follows the last colon. */
export function splitScale(entry: string): { readonly name: string; readonly scale?: number } {
  const match = /^(.+):([+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf(?:inity)?))$/i.exec(entry);
  if (match === null) return { name: entry };
  const value = match[2]!.toLowerCase();
  return { name: match[1]!, scale: /inf/.test(value) ? Number.POSITIVE_INFINITY : Number(value) };
}
