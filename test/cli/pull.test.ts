import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type HubServer, startHub } from "../support/hub-server.ts";
import { finished, folder, grok1, start } from "./grok1.ts";

const model = Buffer.alloc(5 << 20, "weights, ");
let hub: HubServer;
beforeAll(async () => {
  const rows = readFileSync(join(import.meta.dirname, "../vectors/eval/parquet/snappy.parquet"));
  hub = await startHub({ "m.gguf": model, "config.json": Buffer.from("{}"), "main/test.parquet": rows });
});
afterAll(() => hub.close());
const env = () => ({ HF_ENDPOINT: hub.endpoint, HF_HOME: join(folder, "hf"), HF_TOKEN: "", HF_HUB_CACHE: "" });

describe("pull", () => {
  it("goes on after it was killed, and prints where the file is", async () => {
    const { serve } = hub;
    let sent: (() => void) | undefined;
    const halfWay = new Promise<void>((done) => {
      sent = done;
    });
    hub.serve = ({ response, range, content }) => {
      const part = content.subarray(...range!);
      response.writeHead(206, { "content-range": `bytes ${range![0]}-${range![1] - 1}/${content.length}` });
      response.write(part.subarray(0, part.length / 2), () => setTimeout(sent!, 500));
    };
    const child = start(["pull", "me/model", "m.gguf"], env());
    const ended = finished(child);
    await halfWay;
    child.kill("SIGKILL");
    await ended;
    hub.serve = serve;
    const { status, stdout } = await grok1(["pull", "me/model", "m.gguf"], { env: env() });
    const path = join(folder, "hf/hub/models--me--model/snapshots", hub.commit, "m.gguf");
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${path}\n` });
    expect(readFileSync(path).equals(model)).toBe(true);
  });

  it("gives its result as JSON, and says in one line what is wrong", async () => {
    const good = await grok1(["pull", "me/model@main", "--to", "out", "--include", "*.json", "--json"], { env: env() });
    expect(good.status).toBe(0);
    expect(JSON.parse(good.stdout)).toMatchObject({
      ...{ repository: "me/model", revision: "main", commit: hub.commit, folder: "out" },
      files: [{ path: "config.json", local: "out/config.json", size: 2, algorithm: "git-sha1" }],
    });
    expect(await grok1(["pull", "me/none"], { env: env() })).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^grok1: .*not found.*\n$/),
    });
    expect(await grok1(["pull", "a b"], { env: env() })).toMatchObject({ status: 2 });
    expect(await grok1(["pull", "me/model@x", "--revision", "y"], { env: env() })).toMatchObject({ status: 2 });
    expect(await grok1(["pull", "me/model"], { env: { ...env(), HF_ENDPOINT: "file:///x" } })).toMatchObject({
      status: 2,
    });
  });

  it("brings a task's data, and says what was made of them, and what is missing", async () => {
    const base = { about: "x", source: "https://example.org", context: "{{id}}", choices: ["a", "b"], answer: "0" };
    const more = { ...base, continuation: "{{choice}}", metrics: ["acc"] };
    const tasks = [
      { name: "good", data: "good.jsonl", ...more, download: [{ dataset: "me/data@main", from: ["main/*.parquet"] }] },
      { name: "hand", data: "hand.jsonl", ...more },
    ];
    for (const task of tasks) writeFileSync(join(folder, `${task.name}.json`), JSON.stringify(task));
    const args = ["pull-data", "good.json,hand.json", "--data", "questions"];
    const first = await grok1(args, { env: env() });
    expect(first).toMatchObject({ status: 0, stderr: "" });
    expect(first.stdout).toBe(
      "good.jsonl  downloaded  24 rows\nhand.jsonl  missing\n\nhand.jsonl is in no dataset: from https://example.org\n",
    );
    const rows = readFileSync(join(folder, "questions/good.jsonl"), "utf8").trimEnd().split("\n");
    expect(JSON.parse(rows[1]!)).toMatchObject({ id: "Q1", choices: { text: ["two\nlines"], label: ["A"] } });
    const again = await grok1([...args, "--json"], { env: { ...env(), HF_ENDPOINT: "http://127.0.0.1:9" } });
    expect(JSON.parse(again.stdout)).toMatchObject({
      data: "questions",
      files: [{ status: "there" }, { status: "missing" }],
    });
    expect(await grok1(["pull-data", "piqqa", "--data", "questions"], { env: env() })).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/no task "piqqa", did you mean piqa\?/),
    });
  });

  it("hands magnet links to aria2c, or shows its command", async () => {
    const link = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567&tr=x'y";
    const none = await grok1(["pull", link], { env: { PATH: "/none" } });
    expect(none).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/needs aria2c.*aria2c '--dir=\.' .*tr=x'\\''y'/),
    });
    mkdirSync(join(folder, "bin"));
    const program = join(folder, "bin/aria2c");
    writeFileSync(
      program,
      '#!/bin/sh\n[ "$1" = --version ] && exit 0\nprintf "%s\\n" "$@" > aria2c.arguments\nexit 3\n',
    );
    chmodSync(program, 0o755);
    const env = { PATH: [join(folder, "bin"), process.env.PATH].join(delimiter) };
    expect(await grok1(["pull", link, "--to", "there"], { env })).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/aria2c failed with status 3/),
    });
    expect(readFileSync(join(folder, "aria2c.arguments"), "utf8").split("\n")).toEqual([
      ...["--dir=there", "--seed-time=0", "--file-allocation=none", "--continue=true", link, ""],
    ]);
    expect(await grok1(["pull", link, "a.gguf"], { env })).toMatchObject({ status: 2 });
    expect(existsSync(join(folder, "there"))).toBe(false);
  });
});
