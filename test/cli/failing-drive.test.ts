import { execFileSync, spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { withoutAddon } from "../support/addon.ts";
import { finished, folder, models, start } from "./grok1.ts";

const root = resolve(import.meta.dirname, "../..");
const home = join(realpathSync(folder), "drive");
const library = join(home, "failing-drive.so");
const withoutCompiler =
  process.platform !== "linux" || spawnSync("cc", ["--version"]).status !== 0
    ? " (skipped: no C compiler on Linux)"
    : "";

/** The environment of a program for which reads of a file fail while there is another. */
const failing = (file: string, flag: string) => ({
  ...{ LD_PRELOAD: library, FAILING_WHILE: flag, FAILING_FILE: file, FAILING_FROM: "2000000" },
});

/** A mixture of 54 MB, and the name of the file while which reading it fails. */
function make() {
  mkdirSync(home, { recursive: true });
  execFileSync("cc", ["-shared", "-fPIC", "-O1", "-o", library, join(root, "test/support/failing-drive.c"), "-ldl"]);
  const [mixture, flag] = [join(home, "mixture.gguf"), join(home, "fails")];
  const shape = [
    "--layers",
    "2",
    "--width",
    "512",
    "--hidden",
    "2048",
    "--heads",
    "8",
    "--kv-heads",
    "2",
    "--head-size",
    "64",
  ];
  const script = join(root, "bench/make-model.mjs");
  execFileSync(process.execPath, [script, mixture, ...shape, "--vocabulary", "1000", "--type", "q8_0"]);
  return { mixture, flag };
}

/** A server of a mixture that is larger than its memory, and of another model, whose drive fails while a file exists. */
async function begin() {
  const { mixture, flag } = make();
  const whole = readFileSync(mixture);
  /** In place: it is the same file. */
  const restore = () => writeFileSync(mixture, whole, { flag: "r+" });
  copyFileSync(join(models, "llama.gguf"), join(home, "llama.gguf"));
  const env = failing(mixture, flag);
  // Half of it is the mixture's, of whose 54 MB there is then room for some 30.
  const bounds = ["--memory", "480M", "--loaded", "2", "--context", "128", "--threads", "1"];
  const child = start(["serve", "--port", "0", "--models", home, ...bounds, "--log", "json"], env);
  let log = "";
  child.stderr.on("data", (piece: Buffer) => {
    log += piece;
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const outcome = finished(child);
  const url = await new Promise<string>((done, failed) => {
    child.stdout.once("data", (line: Buffer) => done(line.toString().trim()));
    outcome.then(({ stderr }) => failed(new Error(stderr)), failed);
  });
  const ask = async (model: string, prompt: string) => {
    const body = { model, prompt, temperature: 0, max_tokens: 8, ignore_eos: true };
    const response = await fetch(`${url}/v1/completions`, {
      ...{ method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) },
    });
    const { choices, error } = (await response.json()) as {
      choices?: { text: string }[];
      error?: { message: string };
    };
    return choices?.[0]?.text ?? error?.message;
  };
  /** What the log said since it was last asked. */
  const logged = () => {
    const text = log;
    log = "";
    return text;
  };
  return { child, outcome, ask, logged, mixture, flag, restore };
}

describe.skipIf(withoutAddon !== "" || withoutCompiler !== "")(
  `a model that is larger than memory${withoutAddon}${withoutCompiler}`,
  () => {
    it("tells of a drive that fails and of a file that is spoilt, by file and byte; everything else goes on", async () => {
      const { child, outcome, ask, logged, mixture, flag, restore } = await begin();
      const [text, other] = [await ask("mixture", "What of it?"), await ask("llama", "What of it?")];
      expect([typeof text, typeof other]).toEqual(["string", "string"]);

      // All experts are asked for, so some have to be read.
      const everything = Array.from({ length: 100 }, (_, i) => String.fromCharCode(33 + i)).join("");
      const spoilt = async (expected: RegExp) => {
        for (const _ of [1, 2]) {
          // A client is told that it is the server's affair, the server's log which file and where.
          logged();
          expect(await ask("mixture", everything)).toMatch(/one of (its|the server's) files/);
          await expect.poll(logged).toMatch(expected);
        }
        expect(await ask("llama", "What of it?")).toBe(other);
      };
      writeFileSync(flag, "");
      await spoilt(
        /mixture\.gguf: cannot read expert \d of blk\.\d\.ffn_\w+\.weight at byte \d{7,}: .*input\/output error/i,
      );
      rmSync(flag);
      expect(await ask("mixture", "What of it?")).toBe(text);

      utimesSync(mixture, 1, 1);
      await ask("mixture", everything);
      expect(await ask("mixture", "What of it?")).toBe(text);

      truncateSync(mixture, statSync(mixture).size / 2);
      await spoilt(/mixture\.gguf: .*(at byte \d+.*shorter|shorter.*at byte \d+)/);
      restore();
      writeFileSync(mixture, new Uint8Array(2e6).fill(3), { flag: "r+" });
      await spoilt(/mixture\.gguf: was written to while it was in use: expert \d of .* at byte \d+/);
      restore();
      expect(await ask("mixture", "What of it?")).toBe(text);
      child.kill("SIGTERM");
      expect(await outcome).toMatchObject({ status: 0 });
    });

    it("is read through the page cache where it has to be, and from a copy where its own drive fails, of which somebody is told; what is no copy is refused", async () => {
      const { mixture, flag } = make();
      const copy = join(home, "copy", "mixture.gguf");
      mkdirSync(dirname(copy));
      copyFileSync(mixture, copy);
      const asked = ["-p", "What of it?", "-n", "8", "--temperature", "0", "--ignore-end"];
      const bounds = ["--memory", "240M", "--context", "128", "--threads", "1"];
      const command = ["run", "-m", mixture, ...asked, ...bounds];
      const run = (...more: string[]) => finished(start([...command, ...more], failing(mixture, flag)));
      const whole = await run();
      // Where no way leads past the page cache the way is through it.
      for (const FAILING_DIRECT of ["open", "read"])
        expect(await finished(start(command, { ...failing(mixture, flag), FAILING_DIRECT }))).toEqual(whole);
      writeFileSync(flag, "");
      const [alone, both] = await Promise.all([run(), run("--copy", copy)]);
      rmSync(flag);
      expect(alone).toMatchObject({ status: 1, stderr: expect.stringContaining("mixture.gguf: cannot read") });
      expect(both).toEqual({ ...whole, stderr: expect.any(String) });
      expect(both.stderr).toMatch(
        /^grok1: warning: \S+mixture\.gguf: cannot read .* at byte \d+: .*: read from a copy$/m,
      );
      expect(both.stderr).not.toContain("copy/mixture.gguf");
      const bytes = readFileSync(copy);
      writeFileSync(copy, bytes.fill(1, bytes.length - 4096));
      for (const [path, problem] of [
        [copy, "has other bytes than"],
        [mixture, "is a file that is read already"],
      ] as const) {
        const { status, stderr } = await run("--copy", path);
        expect([status, stderr]).toEqual([2, expect.stringMatching(`${path} is no copy of .*${problem}`)]);
      }
    });
  },
);
