import { type ChildProcessWithoutNullStreams, execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterEach, describe, expect, it } from "vitest";
import { folder, models, program, start } from "./grok1.ts";

// It gives a program a terminal; where it is missing, no other way comes without a package.
const { stdout } = spawnSync("script", ["--version"], { encoding: "utf8" });
const absent = /util-linux/.test(stdout ?? "") ? "" : " (skipped: the script command of util-linux is not there)";

interface Terminal {
  /** All that was shown so far. */
  readonly output: () => string;
  readonly type: (text: string) => void;
  /** What is shown until the pattern appears in it, since the last time. */
  readonly until: (pattern: RegExp) => Promise<string>;
  readonly resize: (columns: number) => void;
}

const children: ChildProcessWithoutNullStreams[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** The program at a terminal. Its arguments are words that a shell takes as they are. */
function openTerminal(columns: number, args: readonly string[]): Terminal {
  const device = join(folder, "device");
  const inside = `tty >${device}; stty rows 24 cols ${columns}; exec $*`;
  const wrapper = ["sh", "-c", `exec script -qfec "${inside}" /dev/null`, "sh"];
  const child = start(args, { TERM: "xterm", LC_ALL: "C.UTF-8" }, program, wrapper);
  children.push(child);
  let shown = "";
  let seen = 0;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    shown += text;
  });
  return {
    output: () => shown,
    type: (text) => child.stdin.write(text),
    async until(pattern) {
      for (let waited = 0; !pattern.test(shown.slice(seen)); waited += 20) {
        if (waited > 60_000) throw new Error(`${pattern} was not shown, but ${JSON.stringify(shown.slice(seen))}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const part = shown.slice(seen);
      seen = shown.length;
      return part;
    },
    resize: (to) => execFileSync("stty", ["-F", readFileSync(device, "utf8").trim(), "cols", String(to)]),
  };
}

const model = ["-m", join(models, "llama.gguf"), "--backend", "reference", "--seed", "3", "-n", "4"];
const chat = ["chat", ...model, "--no-history"];

describe.skipIf(absent !== "")(`at a terminal${absent}`, () => {
  it("only Enter ends a turn: not Unicode's separators, not the line ends of what is pasted", async () => {
    const terminal = openTerminal(80, chat);
    await terminal.until(/> $|> \u001b\[3G$/);
    terminal.type("one\u2028two\u2029three\r");
    await terminal.until(/tokens\/s[^>]*> /);
    terminal.type("\u001b[200~four\u2028five\rsix\u001b[201~");
    await terminal.until(/six/);
    terminal.type("\r");
    await terminal.until(/tokens\/s[^>]*> /);
    const path = join(folder, "typed.json");
    terminal.type(`/save ${path}\r`);
    await terminal.until(/4 messages written/);
    const { messages } = JSON.parse(readFileSync(path, "utf8")) as { messages: { role: string; content: string }[] };
    expect(messages.flatMap(({ role, content }) => (role === "user" ? [content] : []))).toEqual([
      "one\u2028two\u2029three",
      "four\u2028five\nsix",
    ]);
  });

  it("lines break between words, and a typed line is taken back whole after the window became narrower", async () => {
    const columns = 44;
    const terminal = openTerminal(columns, chat);
    const welcome = stripVTControlCharacters(await terminal.until(/> $|> \u001b\[3G$/)).replaceAll("\r", "");
    const lines = welcome.split("\n");
    expect(lines.map((line) => line.length).filter((length) => length > columns)).toEqual([]);
    expect(lines.join(" ")).toContain("128 tokens of context. /help for help, /exit to leave.");
    terminal.type("x".repeat(40));
    await terminal.until(/x{40}|(x.*){40}/s);
    terminal.resize(15);
    // "> " and 40 characters stand on three rows now: up two, and everything from there is written anew.
    const again = await terminal.until(/x{40}/);
    expect(again).toContain(`\u001b[2A\u001b[1G\u001b[0J> ${"x".repeat(40)}`);
  });

  it("run shows that a long prompt is read, on a line that is taken back, and only then the text", async () => {
    const prompt = join(folder, "long.txt");
    writeFileSync(prompt, "many words ".repeat(9));
    const terminal = openTerminal(80, ["run", ...model, "--file", prompt]);
    const shown = await terminal.until(/4 written at/);
    expect(shown).toMatch(/reading the prompt: \d+ of \d+ tokens\u001b\[J/);
    expect(shown.lastIndexOf("reading the prompt")).toBeLessThan(shown.lastIndexOf("\r\u001b[J"));
  });
});
