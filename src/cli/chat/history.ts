import { writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { makeFolder } from "../../bytes/folder.ts";
import { readTextFile } from "../../bytes/text-file.ts";

/** Lines typed at the prompt, kept between chats; one line each in a file that only its owner can read. */
export const historyLimit = 1000;

/** Latest first; empty where there is no history yet or it cannot be read. */
export function readHistory(path: string): string[] {
  try {
    const lines = readTextFile(path).split("\n");
    return lines
      .filter((line) => line !== "")
      .slice(-historyLimit)
      .reverse();
  } catch {
    return [];
  }
}

/** A history that cannot be written is no reason to trouble anybody who is leaving. */
export function writeHistory(path: string, latestFirst: readonly string[]): void {
  const lines = latestFirst.slice(0, historyLimit).filter((line) => line.trim() !== "");
  try {
    makeFolder(dirname(path), 0o700);
    writeFileSync(
      path,
      [...lines]
        .reverse()
        .map((line) => `${line}\n`)
        .join(""),
      { mode: 0o600 },
    );
  } catch {
    return;
  }
}
