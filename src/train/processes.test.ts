import { fork } from "node:child_process";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { chooseExchange, exchangeError } from "./processes.ts";

const mega = 2 ** 20;

describe("what processes exchange", () => {
  const choose = (needed: number, rooms: Readonly<Record<string, number>>) =>
    chooseExchange(needed, (folder) => rooms[folder], "/temporary");

  it("goes through shared memory where it has the room, else through files, with a word about it", () => {
    expect(choose(64 * mega, { "/dev/shm": 64 * mega })).toEqual({ folder: "/dev/shm" });
    const small = choose(100 * mega, { "/dev/shm": 64 * mega, "/temporary": 200 * mega });
    expect(small.folder).toBe("/temporary");
    expect(small.warning).toMatch(
      /^\/dev\/shm has 64 MiB of the 100 MiB .*: \/temporary takes them; .*--shm-size=100m/,
    );
    // Systems without such a folder, and those that do not tell how much room there is.
    expect(choose(mega, {})).toEqual({ folder: "/temporary" });
    expect(choose(mega, { "/dev/shm": 0 }).folder).toBe("/temporary");
  });

  it("is refused before anything is written where neither has the room", () => {
    expect(() => choose(100 * mega, { "/dev/shm": 64 * mega, "/temporary": mega })).toThrow(
      expect.objectContaining({
        code: "capacity",
        message: expect.stringMatching(/\/dev\/shm has 64 MiB .*\/temporary has 1 MiB of the 100 MiB.*--shm-size=100m/),
      }),
    );
  });

  it("says what helps where others fill the shared memory later", () => {
    const full = Object.assign(new Error("no space"), { code: "ENOSPC" });
    expect(exchangeError("/dev/shm/grok1-train-1/values", full)).toMatchObject({
      code: "io",
      message: expect.stringMatching(/^\/dev\/shm\/grok1-train-1\/values: cannot write: no space left .*--shm-size/),
    });
    expect(exchangeError("/tmp/grok1-train-1/values", full).message).toMatch(/no space left on the disk$/);
    const denied = Object.assign(new Error("denied"), { code: "EACCES" });
    expect(exchangeError("/dev/shm/grok1-train-1/values", denied).message).toMatch(/permission denied$/);
  });
});

describe("a replica whose first process is no more", () => {
  const program = resolve(import.meta.dirname, "../../dist/train/replica-process.js");

  it.each([0, 300])(
    "takes the exchanged files away, %i ms after its start too, without a word",
    async (wait) => {
      const folder = mkdtempSync(join(tmpdir(), "grok1-train-test-"));
      writeFileSync(join(folder, "values"), "x");
      const child = fork(program, [folder], { execArgv: [], stdio: ["ignore", "ignore", "pipe", "ipc"] });
      let said = "";
      child.stderr!.on("data", (text) => {
        said += text;
      });
      const ended = new Promise((done) => child.once("exit", done));
      await new Promise((done) => setTimeout(done, wait));
      child.disconnect();
      await ended;
      expect(existsSync(folder)).toBe(false);
      expect(said).toBe("");
    },
    60_000,
  );
});
