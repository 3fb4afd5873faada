import { posix } from "node:path";
import { readTextFile } from "../bytes/text-file.ts";
import { GrokError, shown } from "../errors.ts";

/** One line of a list of checksums. */
export interface Checksum {
  /** Relative to the list's folder, with "/" between folders; never outside of it. */
  readonly name: string;
  /** 64 lower-case hexadecimal digits. */
  readonly sha256: string;
}

/** What `sha256sum` prints: two spaces (text) or a space and a star (binary) before the name, a backslash in front where it is escaped. */
const line = /^(\\?)([0-9a-f]{64}) [ *](.+)$/is;
/** What it prints with `--tag`, and BSD's and macOS's tools by themselves. */
const taggedLine = /^(\\?)SHA256 \((.+)\) = ([0-9a-f]{64})$/is;

/** Whether a text begins as a list of checksums does. */
export function looksLikeChecksums(text: string): boolean {
  const first = splitLines(text).find((each) => each !== "" && !each.startsWith("#"));
  return first !== undefined && (line.test(first) || taggedLine.test(first));
}

/**
 * Reads a list in the format of `sha256sum`, also with Windows' line ends, comments (`#`) and empty lines.
 * @throws GrokError `io`; `format` naming the line that is none, or whose name leads out of the list's folder.
 */
export function readChecksums(path: string): Checksum[] {
  return splitLines(readTextFile(path)).flatMap((text, i) => {
    if (text === "" || text.startsWith("#")) return [];
    const fail = (problem: string): never => {
      throw new GrokError("format", `${path}, line ${i + 1}: ${problem}`, { path, line: i + 1 });
    };
    const plain = line.exec(text);
    const tagged = plain ? undefined : taggedLine.exec(text);
    const [escaped, name, hash] = plain
      ? [plain[1], plain[3]!, plain[2]!]
      : tagged
        ? [tagged[1], tagged[2]!, tagged[3]!]
        : fail(`${shown(text)} is no checksum: expected 64 hexadecimal digits, two spaces and a file's name`);
    const whole = escaped ? unescapeName(name, fail) : name;
    return [{ name: checkName(whole, fail), sha256: hash.toLowerCase() }];
  });
}

/** The text of a list, as `sha256sum` writes it. */
export function formatChecksums(checksums: readonly Checksum[]): string {
  return checksums
    .map(({ name, sha256 }) => {
      const escaped = name.replace(/[\\\n\r]/g, (c) => (c === "\\" ? "\\\\" : c === "\n" ? "\\n" : "\\r"));
      return `${escaped === name ? "" : "\\"}${sha256}  ${escaped}\n`;
    })
    .join("");
}

function splitLines(text: string): string[] {
  return text.split("\n").map((each) => (each.endsWith("\r") ? each.slice(0, -1) : each));
}

const escapes: Readonly<Record<string, string>> = { "\\": "\\", n: "\n", r: "\r" };

function unescapeName(name: string, fail: (problem: string) => never): string {
  return name.replace(/\\(.?)/gs, (_, character: string) => {
    return escapes[character] ?? fail(`the name ${shown(name)} has a backslash before ${shown(character)}`);
  });
}

/** A list says what lies beside it and below: a name that leads elsewhere would have it vouch for, or look into, other files. */
function checkName(name: string, fail: (problem: string) => never): string {
  const parts = (process.platform === "win32" ? name.replaceAll("\\", "/") : name).split("/");
  const leadsOut = parts.includes("..") || parts[0] === "" || /^[a-z]:/i.test(name) || name.includes("\0");
  if (leadsOut) fail(`the name ${shown(name)} leads out of the list's folder`);
  return posix.normalize(parts.join("/"));
}
