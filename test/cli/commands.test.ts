import { copyFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { openGguf } from "../../src/formats/gguf/file.ts";
import { openSafetensors } from "../../src/formats/safetensors/file.ts";
import { tokenizerFromGguf } from "../../src/tokenizer/gguf.ts";
import { finished, folder, formats, grok1, models, start } from "./grok1.ts";

const baby = join(models, "grok-1.gguf");
// Any escape sequence, or a rewritten line.
const drives = /[\u001b\r]/;

describe("run", () => {
  const run = (...args: string[]) => grok1(["run", "-m", baby, "--backend", "reference", ...args]);

  it("streams text, the same for the same seed, and nothing else off a terminal", async () => {
    const [a, b, c] = await Promise.all([
      run("-p", "abc", "-n", "12", "--seed", "7", "--ignore-end"),
      run("-p", "abc", "-n", "12", "--seed", "7", "--ignore-end"),
      run("-p", "abc", "-n", "12", "--seed", "8", "--ignore-end"),
    ]);
    expect(a.status).toBe(0);
    expect(a.stderr).toBe("");
    expect(a.stdout).not.toBe("");
    expect(b.stdout).toBe(a.stdout);
    expect(c.stdout).not.toBe(a.stdout);
  });

  it("--json is one document that agrees with the streamed text, from every source of a prompt", async () => {
    const file = join(folder, "prompt.txt");
    writeFileSync(file, "abc\n");
    const options = ["-n", "8", "--temperature", "0", "--ignore-end"];
    const [text, json, fromFile, fromInput] = await Promise.all([
      run("-p", "abc", ...options),
      run("-p", "abc", ...options, "--json", "--logprobs", "2"),
      run("--file", file, ...options),
      grok1(["run", "-m", baby, "--backend", "reference", "-p", "-", ...options], { input: "abc\n" }),
    ]);
    const document = JSON.parse(json.stdout);
    expect(document).toMatchObject({ model: baby, prompt: "abc", text: text.stdout, finishReason: "length" });
    expect(document.tokens).toHaveLength(8);
    expect(document.logprobs).toHaveLength(8);
    expect(document.logprobs[0].top).toHaveLength(2);
    expect(document.logprobs.map((entry: { token: number }) => entry.token)).toEqual(document.tokens);
    const opened = openGguf(baby);
    const { bytes } = tokenizerFromGguf(opened.metadata);
    opened.close();
    for (const { token, text, bytes: odd } of [...document.logprobs, ...document.logprobs[0].top]) {
      expect(odd ?? [...Buffer.from(text)]).toEqual([...bytes(token)]);
    }
    expect(document.usage.completionTokens).toBe(8);
    expect(document.timings.decodeSeconds).toBeGreaterThan(0);
    expect(fromFile.stdout).toBe(text.stdout);
    expect(fromInput.stdout).toBe(text.stdout);
  });

  it("answers by a schema, a regular expression or a grammar", async () => {
    const [schema, gbnf] = [join(folder, "schema.json"), join(folder, "list.gbnf")];
    writeFileSync(schema, '{"type": "array", "items": {"enum": [1, null]}, "minItems": 2, "maxItems": 3}');
    writeFileSync(gbnf, 'root ::= ("- " [ab]{1,5} "!"){2}');
    const [json, regex, list] = await Promise.all([
      run("-p", "abc", "--json-schema", schema),
      run("-p", "abc", "--regex", "x[0-9]{3}y"),
      run("-p", "abc", "--grammar", gbnf, "-n", "100"),
    ]);
    expect(json.stdout).toMatch(/^\[\s*(1|null)(,\s*(1|null)){1,2}\s*\]$/);
    expect(regex.stdout).toMatch(/^x[0-9]{3}y$/);
    expect(list.stdout).toMatch(/^(- [ab]{1,5}!){2}$/);
  });

  it("stop strings and biases have their effect", async () => {
    const greedy = ["-p", "abc", "-n", "16", "--temperature", "0", "--ignore-end", "--json"];
    const free = JSON.parse((await run(...greedy)).stdout);
    const stop = free.text.slice(3, 5);
    const [stopped, biased] = await Promise.all([
      run(...greedy, "--stop", "never seen in this text", "--stop", stop),
      run(...greedy, "--logit-bias", `${free.tokens[0]}=-inf`),
    ]);
    expect(JSON.parse(stopped.stdout)).toMatchObject({
      text: free.text.slice(0, free.text.indexOf(stop)),
      finishReason: "stop-string",
    });
    expect(JSON.parse(biased.stdout).tokens[0]).not.toBe(free.tokens[0]);
  });

  it("a reader that closes early is no failure", async () => {
    const child = start(["run", "-m", baby, "--backend", "reference", "-p", "a", "--ignore-end", "-n", "100"]);
    child.stdin.end();
    child.stdout.destroy();
    const { status, stderr } = await finished(child);
    expect(stderr).toBe("");
    expect(status).toBe(0);
  });
});

describe("failures: status 1 and one line that names the file", () => {
  const damaged = join(folder, "damaged.gguf");
  const empty = join(folder, "empty.gguf");
  const picture = join(folder, "picture.png");
  const pieces = join(folder, "tokenizer.model");
  const foreign = join(folder, "foreign.gguf");
  beforeAll(() => {
    copyFileSync(baby, damaged);
    truncateSync(damaged, 3000);
    writeFileSync(empty, "");
    writeFileSync(picture, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "latin1");
    writeFileSync(pieces, "\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02", "latin1");
    const bytes = readFileSync(baby);
    bytes.write("lambo", bytes.indexOf("llama", bytes.indexOf("tokenizer.ggml.model")));
    writeFileSync(foreign, bytes);
  });

  it.each([
    ["missing", ["run", "-m", "absent.gguf", "-p", "a"], /absent\.gguf.*no such file/],
    ["a folder", ["inspect", folder], /folder/],
    ["truncated", ["run", "-m", damaged, "-p", "a"], /damaged\.gguf/],
    ["truncated, inspected", ["inspect", damaged], /damaged\.gguf/],
    ["empty", ["inspect", empty], /empty\.gguf/],
    ["no model at all", ["inspect", picture], /picture\.png: neither GGUF nor safetensors/],
    ["a tokenizer, inspected", ["inspect", pieces], /tokenizer\.model: a SentencePiece tokenizer.*grok1 tokenize/],
    ["an unknown tokenizer", ["run", "-m", foreign, "-p", "a"], /foreign\.gguf: the tokenizer "lambo"/],
    ["an unknown tokenizer, used alone", ["tokenize", "-m", foreign], /foreign\.gguf: the tokenizer "lambo"/],
    ["truncated, chat", ["chat", "-m", damaged], /damaged\.gguf/],
    ["no tokenizer", ["tokenize", "--tokenizer", join(formats, "all.safetensors")], /all\.safetensors/],
    ["a prompt that is absent", ["run", "-m", baby, "--file", "absent.txt"], /absent\.txt.*no such file/],
  ])("%s", async (_, args, saying) => {
    const { status, stdout, stderr } = await grok1(args);
    expect(stderr).toMatch(saying);
    expect(stderr).toMatch(/^grok1: .*\n$/);
    expect(status).toBe(1);
    expect(stdout).toBe("");
  });

  it("a hostile name in a file cannot drive the terminal", async () => {
    const hostile = join(folder, "hostile.gguf");
    const bytes = readFileSync(baby);
    const at = bytes.indexOf("random grok-1");
    bytes.write("\u001b]0;hi\u0007\u001b[2J", at);
    writeFileSync(hostile, bytes);
    const shown = await grok1(["inspect", hostile]);
    expect(shown.status).toBe(0);
    expect(shown.stdout).toContain("\\x1b]0;hi\\x07\\x1b[2J");
    expect(shown.stdout).not.toMatch(drives);
    const json = await grok1(["inspect", hostile, "--json"]);
    expect(json.stdout).not.toMatch(drives);
    expect(JSON.parse(json.stdout).model.name).toMatch(/^\u001b\]0;hi/);
  });
});

describe("pieces that stand twice", () => {
  it("are said once, by run and by inspect", async () => {
    const path = join(folder, "twice.gguf");
    const file = openGguf(baby);
    const tokenizer = tokenizerFromGguf(file.metadata);
    file.close();
    const encoded = (piece: string) => {
      const text = Buffer.from(piece);
      return Buffer.concat([Buffer.of(text.length, 0, 0, 0, 0, 0, 0, 0), text]);
    };
    const bytes = readFileSync(baby);
    const [first, second] = [encoded(tokenizer.piece(280)), encoded(tokenizer.piece(281))];
    expect(first.length).toBe(second.length);
    first.copy(bytes, bytes.indexOf(second));
    writeFileSync(path, bytes);
    const said = /twice\.gguf: 1 piece of the vocabulary is there again under a later id/g;
    const { status, stderr } = await grok1(["run", "-m", path, "-p", "a", "-n", "1", "--backend", "reference"]);
    expect({ status, times: stderr.match(said)?.length }).toEqual({ status: 0, times: 1 });
    const shown = await grok1(["inspect", path, "--json"]);
    expect(JSON.parse(shown.stdout).problems).toEqual([expect.stringContaining("1 piece of the vocabulary")]);
  });
});

describe("inspect", () => {
  it("tells what the oracle put into a GGUF file", async () => {
    const [text, json] = await Promise.all([grok1(["inspect", baby]), grok1(["inspect", baby, "--json"])]);
    const document = JSON.parse(json.stdout);
    expect(document.metadata["grok.expert_count"]).toBe(8);
    expect(document.metadata["tokenizer.ggml.tokens"]).toMatchObject({ array: "string", count: 288 });
    expect(document.metadata["tokenizer.ggml.tokens"].head.slice(0, 3)).toEqual(["[PAD]", "<s>", "</s>"]);
    expect(document.tensors).toHaveLength(26);
    expect(document.model).toMatchObject({ architecture: "grok", runs: true, tensors: 26 });
    const all = document.tensors.reduce((sum: number, { shape }: { shape: number[] }) => {
      return sum + shape.reduce((product, n) => product * n, 1);
    }, 0);
    expect(document.model.parameters).toBe(all);
    expect(document.model.parametersUsed).toBeLessThan(all);
    expect(document.tokenizer).toMatchObject({ kind: "sentencepiece-bpe", vocabSize: 288, bos: 1, eos: 2 });
    expect(text.status).toBe(0);
    expect(text.stdout).toContain("blk.0.ffn_gate_exps.weight");
    expect(text.stdout).not.toMatch(drives);
  });

  it("reads safetensors, one file or an index, and a GGUF file that is no model", async () => {
    const [one, index, other] = await Promise.all([
      grok1(["inspect", join(formats, "all.safetensors"), "--json"]),
      grok1(["inspect", join(formats, "model.safetensors.index.json"), "--json"]),
      grok1(["inspect", join(formats, "split-00001-of-00003.gguf"), "--json"]),
    ]);
    expect(JSON.parse(one.stdout)).toMatchObject({ format: "safetensors", problems: [] });
    expect(JSON.parse(index.stdout).files).toHaveLength(2);
    expect(JSON.parse(other.stdout).files).toHaveLength(3);
  });
});

describe("tokenize", () => {
  it("takes the package's own model where none is named, also with -p", async () => {
    const own = join(models, "../../../models/grok1-stories-q8_0.gguf");
    const [bare, named, input] = await Promise.all([
      grok1(["tokenize", "-p", "Once upon"]),
      grok1(["tokenize", "-p", "Once upon", "-m", own]),
      grok1(["tokenize"], { input: "Once upon" }),
    ]);
    expect(bare.stdout).toMatch(/^ +\d+ {2}\S/);
    expect(bare).toEqual({ status: 0, stdout: named.stdout, stderr: bare.stderr });
    expect(input.stdout).toBe(named.stdout);
  });

  it("--jsonl answers each line as the library does, whatever is in it", async () => {
    const texts = ["hello", "a\nb\t\u0000", "ñ 你 🎉", "", "\u001b[2J", "x".repeat(100_000)];
    const file = openGguf(baby);
    const tokenizer = tokenizerFromGguf(file.metadata);
    file.close();
    const input = `${texts.map((text) => JSON.stringify({ text })).join("\n")}\n\n`;
    const { status, stdout } = await grok1(["tokenize", "-m", baby, "--jsonl"], { input });
    expect(status).toBe(0);
    const answers = stdout.trimEnd().split("\n");
    const expected = texts.map((text) => [...tokenizer.encode(text)]);
    expect(answers.map((line) => JSON.parse(line))).toEqual(
      expected.map((ids) => ({ ids, decoded: tokenizer.decode(ids) })),
    );
    expect(answers).toHaveLength(texts.length);
  });

  it("a line that is not what was asked for is named", async () => {
    for (const [line, saying] of [
      ["{", /line 2: expected JSON/],
      ['{"txt": 1}', /line 2: expected an object with "text"/],
      ["null", /line 2: expected an object/],
    ] as const) {
      const { status, stdout, stderr } = await grok1(["tokenize", "-m", baby, "--jsonl"], {
        input: `{"text":"a"}\n${line}\n`,
      });
      expect(stderr).toMatch(saying);
      expect(JSON.parse(stdout)).toMatchObject({ decoded: "a" });
      expect(status).toBe(1);
    }
  });

  it("shows ids and pieces to people", async () => {
    const { stdout } = await grok1(["tokenize", "-m", baby, "--bos", "-p", "\u001b"]);
    expect(stdout).toMatch(/^ +1 {2}<s>\n/);
    expect(stdout).toContain("<0x1B>");
    expect(stdout).not.toMatch(drives);
  });
});

describe("logits", () => {
  it.each(["grok-1", "grok-2", "llama", "mixtral"])("%s agrees with the oracle's float64 pass", async (name) => {
    const expected = openSafetensors(join(models, `${name}.expected.safetensors`));
    const tokens = [...(expected.entry("tokens").values() as Int32Array)];
    const out = join(folder, `${name}.safetensors`);
    const { status, stdout, stderr } = await grok1(
      ["logits", "-m", join(models, `${name}.gguf`), "--tokens", tokens.join(","), "--out", out, "--layers"].concat(
        "--backend",
        "reference",
      ),
    );
    expect(stderr).toBe("");
    expect(stdout).toBe("");
    expect(status).toBe(0);
    const written = openSafetensors(out);
    expect(written.entry("logits").shape).toEqual(expected.entry("logits").shape);
    const [ours, theirs] = [written, expected].map((file) => file.entry("logits").values() as Float32Array);
    let [difference, norm] = [0, 0];
    for (let i = 0; i < theirs!.length; i++) {
      difference += (ours![i]! - theirs![i]!) ** 2;
      norm += theirs![i]! ** 2;
    }
    expect(Math.sqrt(difference / norm)).toBeLessThan(1e-5);
    for (const experts of [...expected.entries.keys()].filter((key) => /^experts\.\d+$/.test(key))) {
      expect(written.entry(experts).values()).toEqual(expected.entry(experts).values());
    }
    for (const file of [written, expected]) file.close();
  });
});

describe("perplexity, bench, doctor", () => {
  it("perplexity is that of the tokens' log-probabilities, chunk by chunk", async () => {
    const file = join(folder, "text.txt");
    writeFileSync(file, "The cat sat on the mat, and the dog sat on the cat. ".repeat(4));
    const args = ["perplexity", "-m", baby, "--file", file, "--context", "32", "--backend", "reference"];
    const [text, json] = await Promise.all([grok1(args), grok1([...args, "--json"])]);
    const document = JSON.parse(json.stdout);
    expect(document.scored).toBe(document.chunks * 15);
    expect(document.perplexity).toBeCloseTo(Math.exp(document.negativeLogLikelihood), 6);
    expect(document.error).toBeGreaterThan(0);
    expect(text.stdout).toMatch(new RegExp(`^perplexity ${document.perplexity.toFixed(4)} ± `));
    expect(text.stderr).toBe("");
    writeFileSync(file, "Too short.");
    const short = await grok1(args);
    expect(short.status).toBe(2);
    expect(short.stderr).toMatch(/need at least 64/);
  });

  it("bench gives every figure", async () => {
    const { stdout, status } = await grok1([
      "bench",
      "-m",
      baby,
      "-p",
      "16",
      "-n",
      "4",
      "-r",
      "1",
      "--json",
      "--backend",
      "reference",
    ]);
    expect(status).toBe(0);
    const result = JSON.parse(stdout);
    for (const field of [
      "loadSeconds",
      "prefillTokensPerSecond",
      "decodeTokensPerSecond",
      "bytesPerToken",
      "memoryBandwidth",
      "decodeFractionOfBandwidth",
    ]) {
      expect(result[field]).toBeGreaterThan(0);
    }
    expect(result.decodeFractionOfBandwidth).toBeCloseTo(
      (result.bytesPerToken * result.decodeTokensPerSecond) / result.memoryBandwidth,
      9,
    );
  });

  it("bench names what does not fit into the context as it was asked for", async () => {
    for (const [args, message] of [
      [["-p", "90000", "-n", "4"], /--prompt 90000 and --generate 4 do not fit into a context of \d+ tokens/],
      [["-c", "16"], /--prompt 1 and --generate 32 do not fit into a context of 16 tokens/],
      [["-c", "90000"], /--context is 90000, expected/],
    ] as const) {
      expect(await grok1(["bench", "-m", baby, ...args])).toMatchObject({
        status: 2,
        stderr: expect.stringMatching(message),
      });
    }
  });

  it("runs the kernels of the instruction set that is asked for", async () => {
    const short = ["bench", "-m", baby, "-p", "8", "-n", "1", "-r", "1", "--json"];
    const { addon } = JSON.parse((await grok1(["doctor", "--json"])).stdout);
    const refused = await grok1([...short, "--isa", "mmx"]);
    if (!addon.present) {
      expect(refused.stderr).toMatch(/native backend is not there/);
      return;
    }
    expect(refused).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^grok1: --isa is mmx, expected one of .*scalar/),
    });
    for (const isa of addon.isas) {
      expect(JSON.parse((await grok1([...short, "--isa", isa])).stdout)).toMatchObject({ backend: "native", isa });
    }
    expect(JSON.parse((await grok1(short)).stdout).isa).toBe(addon.best);
    const reference = await grok1([...short, "--isa", addon.best, "--backend", "reference"]);
    expect(reference).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/--isa has no effect with --backend reference/),
    });
  });

  it("bench fits a small context by itself", async () => {
    const { status, stdout } = await grok1(["bench", join(models, "llama.gguf"), "-c", "40", "-r", "1", "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ prefillTokens: 8, decodeTokens: 32 });
  });

  it("doctor names what is wrong with a model", async () => {
    const foreign = join(folder, "foreign.gguf");
    writeFileSync(foreign, "none");
    const [missing, other, fine] = await Promise.all([
      grok1(["doctor", "-m", join(folder, "none.gguf"), "--json"]),
      grok1(["doctor", foreign]),
      grok1(["doctor", join(models, "llama.gguf"), "--json"]),
    ]);
    const { modelProblem, advice } = JSON.parse(missing.stdout);
    expect(modelProblem).toMatch(/none\.gguf: cannot open: no such file/);
    expect(advice[0]).toBe(`Name another model: ${modelProblem}`);
    expect(other.stdout).toMatch(/foreign\.gguf \(does not run\)[\s\S]*- Name another model: .*foreign\.gguf/);
    expect(other.stdout).not.toContain("Nothing to improve");
    expect(JSON.parse(fine.stdout)).not.toHaveProperty("modelProblem");
  });

  it.skipIf(!existsSync("/dev/full"))(
    "a result that no disk takes is an error (told by /dev/full, where there is one)",
    async () => {
      for (const args of [["inspect", baby], ["run", "-m", baby, "-p", "a", "-n", "2", "--json"], ["--help"]]) {
        const full = await grok1(args, { wrapper: ["sh", "-c", 'exec "$@" > /dev/full', "sh"] });
        expect(full.stderr).toBe("grok1: standard output: cannot write: no space left on the disk\n");
        expect(full.status).toBe(1);
      }
      const closed = await grok1(["inspect", baby], { wrapper: ["sh", "-c", '"$@" | true', "sh"] });
      expect(closed.stderr).toBe("");
    },
  );

  it("doctor knows this computer", async () => {
    const [text, json] = await Promise.all([grok1(["doctor"]), grok1(["doctor", "--json"])]);
    expect(text.status).toBe(0);
    expect(text.stdout).not.toMatch(drives);
    const document = JSON.parse(json.stdout);
    expect(document.node).toBe(process.version);
    expect(document.threads).toBeGreaterThan(0);
    expect(document.memoryBytes).toBeGreaterThan(2 ** 28);
    expect(typeof document.addon.present).toBe("boolean");
  });
});

describe("Ctrl-C", () => {
  it("ends a run cleanly with status 130", async () => {
    const child = start(["run", "-m", join(models, "llama.gguf"), "--backend", "reference", "-p", "a", "--ignore-end"]);
    child.stdin.end();
    await new Promise((resolve) => child.stdout.once("data", resolve));
    child.kill("SIGINT");
    const { status, stderr } = await finished(child);
    expect(stderr).toBe("");
    expect(status).toBe(130);
  });
});
