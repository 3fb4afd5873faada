import { lstatSync, readdirSync, statSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";
import { ioError } from "../bytes/io-error.ts";
import { type Language, languages } from "./functions.ts";

export interface SourceFile {
  readonly path: string;
  /** From what was asked for, with slashes; its own name where a file was. */
  readonly name: string;
  readonly language: Language;
}

export interface LeftOut {
  readonly name: string;
  readonly why: string;
}

/** Larger files are made by programs. */
const mostBytes = 2 ** 20;
const mostFiles = 100_000;
const notOurs = new Set(["node_modules", "__pycache__", "venv"]);

/**
 * Source files below a folder, or the one file, in the order of their names. Links below it are not followed; what begins with a dot and what others wrote
 * (`node_modules`) is not looked into.
 * @throws GrokError `io`
 */
export function listSources(root: string): {
  readonly files: readonly SourceFile[];
  readonly leftOut: readonly LeftOut[];
} {
  const files: SourceFile[] = [];
  const leftOut: LeftOut[] = [];
  let tooMany = 0;
  const attempt = <T>(what: string, path: string, act: () => T): T => {
    try {
      return act();
    } catch (error) {
      throw ioError(what, path, error);
    }
  };
  const take = (path: string, asked: boolean) => {
    // Whoever names a link means what it leads to.
    const stat = attempt("look at", path, () => (asked ? statSync(path) : lstatSync(path)));
    const name = asked ? path.split(sep).at(-1)! : relative(root, path).split(sep).join("/");
    if (stat.isDirectory()) {
      const entries = attempt("list", path, () => readdirSync(path)).sort();
      for (const entry of entries) if (!entry.startsWith(".") && !notOurs.has(entry)) take(join(path, entry), false);
      return;
    }
    const language = languages[extname(path).toLowerCase()];
    if (language === undefined || !stat.isFile()) {
      if (asked)
        leftOut.push({ name, why: "no source file of a known language (C, C++, JavaScript, TypeScript, Python)" });
    } else if (stat.size > mostBytes) leftOut.push({ name, why: `larger than ${mostBytes} bytes` });
    else if (files.length >= mostFiles) tooMany++;
    else files.push({ path, name, language });
  };
  take(root, true);
  if (tooMany > 0) leftOut.push({ name: root, why: `${tooMany} files beyond the first ${mostFiles}` });
  return { files, leftOut };
}
