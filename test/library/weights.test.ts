import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadAddon } from "../../src/addon.ts";
import {
  createServer,
  fitModel,
  GrokError,
  loadModel,
  openCalibration,
  planModel,
  pull,
  quantizeModel,
  verify,
  writeSums,
} from "../../src/index.ts";
import { sha256, startHub } from "../support/hub-server.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-library-weights-"));
afterAll(() => rmSync(folder, { recursive: true }));
const model = join(folder, "model.gguf");
cpSync(resolve(import.meta.dirname, "../vectors/models/mixtral.gguf"), model);
const text = "It was a dark and stormy night; the rain fell in torrents. ".repeat(60);
const aborted = AbortSignal.abort();

/** What a call rejects with, which has to be ours. */
async function failureOf(call: () => unknown): Promise<GrokError> {
  try {
    await call();
  } catch (error) {
    expect(error).toBeInstanceOf(GrokError);
    return error as GrokError;
  }
  throw new Error("nothing was thrown");
}

it("brings files, told how far they are, checks and plans for them", async () => {
  const bytes = readFileSync(model);
  const hub = await startHub({ "m.gguf": bytes, "notes.txt": Buffer.from("x") });
  try {
    const seen: number[] = [];
    const { files } = await pull("me/model", {
      ...{ endpoint: hub.endpoint, into: { folder: join(folder, "pulled") }, include: ["*.gguf"] },
      onProgress: ({ done }) => seen.push(done),
    });
    expect(files).toMatchObject([{ path: "m.gguf", hash: sha256(bytes), size: bytes.length }]);
    expect(seen.at(-1)).toBe(bytes.length);
    const into = { folder: join(folder, "stopped") };
    expect((await failureOf(() => pull("me/model", { endpoint: hub.endpoint, into, signal: aborted }))).code).toBe(
      "cancelled",
    );
    const remote = await planModel(`${hub.fileHost}/m.gguf`, { endpoint: hub.endpoint, machine: "desktop-64gb" });
    expect(remote).toMatchObject({ context: 128, kvType: "f16", machine: { memoryBytes: 64e9 } });
    expect(remote.recommended?.estimate.onDisk).toBe(0);
    const local = files[0]!.local;
    expect(await writeSums([local])).toEqual([`${local}.manifest.json`]);
    const report = await verify([local]);
    expect(report).toMatchObject({ ok: true, bytes: expect.any(Number) });
    expect(report.checks.map(({ check }) => check)).toContain("tensors");
    expect((await failureOf(() => verify([local], { signal: aborted }))).code).toBe("cancelled");
  } finally {
    await hub.close();
  }
});

describe.skipIf(!loadAddon().addon)("with the addon", () => {
  it("compensates errors, and fits a size by what it measured", async () => {
    const plain = await quantizeModel({ source: model, type: "q4_0", out: join(folder, "plain.gguf") });
    const compensated = join(folder, "compensated.gguf");
    {
      using calibration = openCalibration(model, text, { chunks: 2 });
      await quantizeModel({ source: model, type: "q4_0", out: compensated, rounding: calibration.rounding });
    }
    expect(statSync(compensated).size).toBe(plain.bytes);
    expect(readFileSync(compensated).equals(readFileSync(plain.out))).toBe(false);
    const size = Math.round(1.1 * plain.bytes);
    const measured: string[] = [];
    const out = join(folder, "fitted.gguf");
    const fitted = await fitModel({
      ...{ source: model, out, size, text, chunks: 1 },
      onMeasured: ({ tensor }) => measured.push(tensor),
    });
    expect(fitted.bytes).toBeLessThanOrEqual(size);
    expect(fitted.choices.map(({ tensor }) => tensor).sort()).toEqual(measured.sort());
    expect(fitted.sha256).toBe(createHash("sha256").update(readFileSync(out)).digest("hex"));
    expect(existsSync(`${out}.sensitivity.json`)).toBe(true);
    const small = await failureOf(() => fitModel({ source: model, out: `${out}2`, size: 1, text, chunks: 1 }));
    expect(small).toMatchObject({ code: "argument", message: expect.stringMatching(/smallest types/) });
  });
});

it("serves with a socket and without one", async () => {
  const entries: string[] = [];
  await using server = await createServer({
    models: [{ file: model, load: () => loadModel(model, { backend: "reference", contextLength: 64 }) }],
    ...{ port: 0, onRequest: ({ path, status }) => entries.push(`${status} ${path}`) },
  });
  const body = JSON.stringify({ prompt: "ab", max_tokens: 3, temperature: 0 });
  const init = { method: "POST", headers: { "content-type": "application/json" }, body };
  const direct = await server.fetch(new Request("http://localhost/v1/completions", init));
  const answer = (await direct.json()) as { choices: { text: string }[]; model: string };
  expect(answer.model).toBe("model");
  const { url, drain } = await server.listen();
  expect(await (await fetch(`${url}/v1/completions`, init)).json()).toMatchObject({ choices: answer.choices });
  expect((await server.fetch(new Request("http://elsewhere.example/v1/models"))).status).toBe(403);
  await drain(AbortSignal.timeout(1000));
  expect(entries).toEqual(["200 /v1/completions", "200 /v1/completions", "403 /v1/models"]);
  const missing = await createServer({ models: [{ file: join(folder, "none.gguf") }], port: 0 });
  expect((await failureOf(() => missing.listen())).code).toBe("io");
  await missing.close();
});

it("refuses what is no option, and values that are none, by name", async () => {
  const into = { folder };
  const cases: [() => unknown, RegExp][] = [
    [() => pull("me/model", { into, includes: ["*"] } as never), /no option includes, did you mean include/],
    [() => pull("me/model", { into, connections: 0 }), /connections is 0, expected a whole number from 1 to 64/],
    [
      () => pull("me/model", { into, files: "m.gguf" } as never),
      /files is the text "m.gguf", expected a list of texts/,
    ],
    [() => pull("model", { into }), /"model" is no repository: expected OWNER\/NAME/],
    [() => pull("https://huggingface.co/me/model", { into }), /, such as me\/model$/],
    [
      () => pull("me/model/blob/main/m.gguf", { into }),
      /, such as me\/model, and files behind a space: me\/model m.gguf$/,
    ],
    [() => pull("me/model", {} as never), /into: the options are undefined/],
    [() => verify([]), /paths is empty/],
    [() => verify([model], { publicKey: "RW" }), /RW/],
    [() => verify([model], { fast: true } as never), /no option fast/],
    [() => writeSums([3] as never), /paths\[0\] is 3/],
    [() => planModel("grok-17", { machine: "desktop-64gb" }), /known by name: grok-1/],
    [() => planModel("grok-1", { machine: "none" }), /machine none: neither a file nor/],
    [() => planModel("grok-1", { machine: "desktop-64gb", context: -1 }), /context is -1/],
    [() => fitModel({ source: model, out: join(folder, "o"), size: 0, text }), /size is 0/],
    [
      () => fitModel({ source: model, out: join(folder, "o"), size: 9e9, text, types: ["q9"] } as never),
      /types: the text "q9"/,
    ],
    [() => createServer({ models: [] }), /models is empty/],
    [() => createServer({ models: [{ file: model }], port: 70_000 }), /port is 70000/],
    [() => createServer({ models: [{ file: model }], keys: { me: "secret" } }), /keys: me is the text "secret"/],
  ];
  for (const [call, message] of cases) {
    const error = await failureOf(call);
    expect(error.message).toMatch(message);
    expect(["argument", "io"]).toContain(error.code);
  }
});
