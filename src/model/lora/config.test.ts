import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { processorSeconds } from "../../../test/support/time.ts";
import { GrokError } from "../../errors.ts";
import { adapterConfigFile, readAdapterConfig } from "./config.ts";
import { compilePattern } from "./pattern.ts";

interface Case {
  readonly config: Record<string, unknown>;
  /** Rank and scale, as peft computes them. */
  readonly modules: Readonly<Record<string, readonly [rank: number, scale: number]>>;
}

const vectors = join(import.meta.dirname, "../../../test/vectors/lora/patterns.json");
const cases = JSON.parse(readFileSync(vectors, "utf8")) as Case[];
const all = Object.keys(cases[0]!.modules);
const folder = mkdtempSync(join(tmpdir(), "grok1-lora-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

function read(config: Record<string, unknown>) {
  const path = join(folder, adapterConfigFile);
  writeFileSync(path, JSON.stringify(config));
  return readAdapterConfig(path);
}

describe("an adapter's configuration gives each module what peft gives it", () => {
  it.each(cases)("$config", ({ config, modules }) => {
    const found = read(config);
    expect(all.filter((module) => found.targets(module))).toEqual(all.filter((module) => modules[module]));
    for (const [module, [rank, scale]] of Object.entries(modules)) {
      expect(found.rankOf(module)).toBe(rank);
      expect(found.scaleOf(module)).toBeCloseTo(scale, 14);
    }
  });

  it("names of modules may be patterns, exclude some, and be of some layers alone", () => {
    const targeted = (fields: Record<string, unknown>) => {
      const { targets } = read({ peft_type: "LORA", r: 4, lora_alpha: 8, ...fields });
      return all.filter(targets);
    };
    const like = (pattern: RegExp) => all.filter((module) => pattern.test(module));
    for (const target_modules of ["all-linear", ".*", null, undefined])
      expect(targeted({ target_modules })).toEqual(all);
    expect(targeted({ target_modules: ".*q_proj" })).toEqual(like(/q_proj$/));
    expect(targeted({ target_modules: "q_proj" })).toEqual([]);
    expect(targeted({ target_modules: "model\\.layers\\.[1-9]\\d*\\..*(q|v)_proj" })).toEqual(
      like(/s\.1\..*[qv]_proj/),
    );
    expect(targeted({ target_modules: ["q_proj", "k_proj"], exclude_modules: ["k_proj"] })).toEqual(like(/q_proj/));
    expect(targeted({ exclude_modules: ".*mlp.*" })).toEqual(like(/self_attn/));
    expect(targeted({ layers_to_transform: 1 })).toEqual(like(/layers\.1\./));
    expect(targeted({ layers_to_transform: [0], layers_pattern: "layers" })).toEqual(like(/layers\.0\./));
  });

  it("hostile patterns are matched in bounded time, or refused by name", () => {
    const matched = (rank_pattern: Record<string, number>, module: string) =>
      read({ peft_type: "LORA", r: 4, lora_alpha: 8, rank_pattern }).rankOf(module);
    const seconds = processorSeconds(() => {
      const long = `model.${"a".repeat(2000)}`;
      expect(matched({ "(.*)*x": 3, "(a|a)*b": 5, "(((a+)+)+)+c": 6, "(a*)*": 7 }, long)).toBe(7);
      expect(matched(Object.fromEntries(Array.from({ length: 99_999 }, (_, i) => [`k${i}_proj`, 2])), long)).toBe(4);
      for (const [pattern, message] of [
        ["((((a{100}){100}){100}){100})", /is too large/],
        [`${"(".repeat(50)}${"){100}".repeat(50)}`, /groups more than 20 deep/],
        [`${"(".repeat(17)}${"){100}".repeat(17)}`, /is too large/],
        ["a{1000}", /at most 100 times/],
        ["(?=a)", /which has "\(\?="/],
        ["(a)\\1", /which has "\\\\?1"/],
        ["(a", /lacks a "\)"/],
        ["a)", /a "\)" too many/],
        ["[a", /lacks a "\]"/],
        ["*a", /after nothing/],
        ["a**", /repeats what is repeated/],
        ["x*".repeat(100_000), /is too large/],
      ] as const) {
        expect(() => matched({ [pattern]: 2 }, "a")).toThrow(expect.objectContaining({ code: "unsupported" }));
        expect(() => matched({ [pattern]: 2 }, "a")).toThrow(message);
      }
      const many = Object.fromEntries(Array.from({ length: 400_000 }, (_, i) => [`(${i}`, 2]));
      expect(() => matched(many, "a")).toThrow(/rank_pattern has 400000 patterns/);
    });
    expect(seconds).toBeLessThan(5);
  });

  it("are quoted in messages of bearable length", () => {
    const key = `${"k".repeat(100_000)}(`;
    for (const config of [{ alpha_pattern: { [key]: 1 } }, { rank_pattern: { [key]: "x" } }, { bias: key }]) {
      const attempt = () => read({ peft_type: "LORA", r: 4, lora_alpha: 8, ...config });
      expect(attempt).toThrow(GrokError);
      expect(attempt).toThrow(/^(?=.*adapter_config\.json)[^\n]{1,600}$/);
    }
  });

  it.each([
    [{ use_dora: true }, /use_dora is set/],
    [{ use_something_new: true }, /use_something_new is set/],
    [{ fan_in_fan_out: true }, /fan_in_fan_out is set/],
    [{ layer_replication: [[0, 2]] }, /layer_replication is set/],
    [{ alora_invocation_tokens: [1, 2] }, /alora_invocation_tokens is set/],
    [{ target_parameters: ["mlp.experts.gate_up_proj"] }, /target_parameters is set/],
    [{ trainable_token_indices: { embed_tokens: [1] } }, /trainable_token_indices is set/],
    [{ modules_to_save: ["lm_head"] }, /modules_to_save is set \("lm_head"\).*merge_and_unload/],
    [{ init_lora_weights: "pissa_niter_4" }, /init_lora_weights is "pissa_niter_4": the base was changed too/],
    [{ init_lora_weights: "loftq" }, /the base was changed too/],
    [{ bias: "lora_only" }, /bias is "lora_only"/],
    [{ layers_to_transform: [1], layers_pattern: "blocks" }, /layers_pattern is "blocks"/],
    [{ layers_to_transform: ["1"] }, /layers_to_transform is "1", expected whole numbers/],
    [{ peft_type: undefined, lora_parameters: { rank: 8 } }, /an adapter of MLX, .*mlx_lm\.fuse/],
  ])("%j is refused, for it changes the result", (fields, message) => {
    expect(() => read({ peft_type: "LORA", r: 4, lora_alpha: 8, ...fields })).toThrow(message);
  });

  it("fields that change nothing, or are at their defaults, are let be", () => {
    const harmless = {
      ...{
        task_type: "CAUSAL_LM",
        inference_mode: true,
        lora_dropout: 0.1,
        init_lora_weights: "gaussian",
        revision: null,
      },
      ...{
        use_dora: false,
        fan_in_fan_out: false,
        bias: "none",
        modules_to_save: null,
        lora_bias: false,
        use_rslora: false,
      },
      ...{
        qalora_group_size: 16,
        megatron_core: "megatron.core",
        loftq_config: {},
        layers_pattern: null,
        peft_version: "0.18",
      },
      ...{ target_parameters: null, trainable_token_indices: null, layer_replication: null, auto_mapping: null },
    };
    expect(read({ peft_type: "LORA", r: 4, lora_alpha: 8, ...harmless }).scaleOf(all[0]!)).toBe(2);
  });

  it("is UTF-8, or refused with the line", () => {
    const path = join(folder, adapterConfigFile);
    writeFileSync(path, Buffer.concat([Buffer.from('{\n"r": "'), Buffer.from([0xff, 0x22])]));
    expect(() => readAdapterConfig(path)).toThrow(`${path}, line 2: the text is not UTF-8: found ff 22 at byte 8`);
    writeFileSync(path, Buffer.from("\ufeff{}", "utf16le"));
    expect(() => readAdapterConfig(path)).toThrow("the text is in UTF-16");
  });

  it.skipIf(process.platform === "win32")(
    "is a regular file, or refused at once (not on Windows, which has no named pipes in folders)",
    () => {
      const path = join(folder, "pipe");
      execFileSync("mkfifo", [path]);
      for (const place of [path, "/dev/zero", folder]) {
        expect(() => readAdapterConfig(place)).toThrow(/not a regular file|it is a folder/);
      }
    },
  );
});

describe("patterns", () => {
  it("match as regular expressions do", () => {
    const piece = fc.constantFrom(
      ..."ab._19",
      "\\.",
      "\\d",
      "\\w",
      ".",
      "[ab]",
      "[^a_]",
      "[0-9.]",
      "^",
      "$",
      "(?:a|b9)",
      "(a|)",
    );
    const sign = fc.constantFrom("", "", "", "*", "+", "?", "{2}", "{1,3}", "{2,}", "*?");
    const pattern = fc.array(fc.tuple(piece, sign), { maxLength: 6 });
    fc.assert(
      fc.property(pattern, fc.stringMatching(/^[ab._19]{0,8}$/), fc.boolean(), (parts, text, either) => {
        const pieces = parts.map(([one, many]) => (one === "^" || one === "$" ? one : one + many));
        const source = either ? `${pieces.join("")}|${pieces.toReversed().join("")}` : `(${pieces.join("")})`;
        const expected = new RegExp(`^(?:${source})$`).test(text);
        expect({ source, text, found: compilePattern(source, { states: 1000 })(text) }).toEqual({
          source,
          text,
          found: expected,
        });
      }),
      { numRuns: 2000 },
    );
  });
});
