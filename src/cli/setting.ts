import type { Reader } from "./values.ts";

/**
 * An option that can also come from the environment and from the config file. A flag wins over the variable, the
 * variable over the file, the file over the default. Names follow from one another: `--top-k`, GROK1_TOP_K, `"topK"`.
 */
export interface Setting {
  readonly flags: string;
  readonly description: string;
  /** Absent: a switch, whose variable is 1 or 0 and whose entry in the file is true or false. */
  readonly read?: Reader;
  /** There can be several: a flag given again, a list in the file, in a variable what stands between these. */
  readonly between?: RegExp;
  /** What holds when nobody says anything, for `--help`. */
  readonly usually: string;
}
