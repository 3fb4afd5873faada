import { describe, expect, it } from "vitest";
import { chooseExchange } from "./processes.ts";

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
});
