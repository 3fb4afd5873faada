import { existsSync } from "node:fs";
import { join } from "node:path";
import { readJsonObject } from "../../bytes/whole-file.ts";
import { GrokError, shown } from "../../errors.ts";
import { awqMatrix, checkAwq } from "./awq.ts";
import { checkCompressed, compressedMatrix } from "./compressed.ts";
import { type Config, createConfig } from "./config.ts";
import { exl2Matrix } from "./exl2.ts";
import { checkGptq, gptqMatrix } from "./gptq.ts";
import type { StoredMatrix } from "./matrix.ts";
import type { Size } from "./packed.ts";
import { scaledMatrix } from "./scaled.ts";
import type { TensorStore } from "./store.ts";

/** How a configuration says that matrices are stored. */
export interface Quantization {
  readonly method: string;
  readonly settings: Config;
}

const maxConfigBytes = 2 ** 20;

/** What is known of each method, by the name in `quant_method`: what its settings may ask for. */
const methods: Readonly<Record<string, (settings: Config) => void>> = {
  gptq: checkGptq,
  awq: checkAwq,
  exl2: () => undefined,
  fp8: () => undefined,
  bitsandbytes(settings) {
    settings.expect("load_in_4bit", [false], "false");
    settings.expect("_load_in_4bit", [false], "false");
  },
  "compressed-tensors": checkCompressed,
};

/**
 * A model's quantization, from `config.json` or the file that older quantizers wrote beside it.
 * @throws GrokError `unsupported` naming the method, or the setting.
 */
export function readQuantization(path: string, config: Config): Quantization | undefined {
  const section = config.section("quantization_config") ?? config.section("compression_config") ?? readBeside(path);
  if (section === undefined) return undefined;
  const method = section.text("quant_method", section.has("w_bit") ? "awq" : section.has("desc_act") ? "gptq" : "");
  const check = Object.hasOwn(methods, method) ? methods[method] : undefined;
  if (check === undefined) {
    throw section.fail(
      "unsupported",
      "quant_method",
      `is ${shown(method)}, expected one of ${Object.keys(methods).join(", ")}`,
    );
  }
  check(section);
  return { method, settings: section };
}

function readBeside(path: string): Config | undefined {
  const file = ["quantize_config.json", "quant_config.json"].map((name) => join(path, name)).find(existsSync);
  return file === undefined ? undefined : createConfig(file, readJsonObject(file, maxConfigBytes));
}

/** What other quantizers store: how their tensors end, and what they are. */
const unknown: readonly (readonly [ending: string, what: string])[] = [
  ["weight_packed", "packed by compressed-tensors"],
  ["weight.quant_state.bitsandbytes__nf4", "4-bit by bitsandbytes (nf4)"],
  ["weight.quant_state.bitsandbytes__fp4", "4-bit by bitsandbytes (fp4)"],
  ["weight.absmax", "4-bit by bitsandbytes"],
  ["trellis", "quantized by EXL3"],
  ["W_q", "quantized by HQQ"],
  ["codebooks", "quantized by AQLM"],
];

/** A matrix that is stored as something else than numbers; undefined for others. @throws GrokError naming the tensor. */
export function openQuantized(
  store: TensorStore,
  name: string,
  size: Size,
  quantization: Quantization | undefined,
): StoredMatrix | undefined {
  const base = name.replace(/\.weight$/, "");
  if (base === name) return undefined;
  if (quantization?.method === "compressed-tensors" && store.has(`${base}.weight_packed`)) {
    return compressedMatrix(store, base, size, quantization.settings);
  }
  for (const [ending, what] of unknown) {
    if (!store.has(`${base}.${ending}`)) continue;
    throw new GrokError("unsupported", `${store.path}: tensor ${base}.${ending}: ${what}, which grok1 does not read`, {
      ...{ path: store.path, tensor: `${base}.${ending}` },
    });
  }
  if (store.has(`${base}.q_weight`)) return exl2Matrix(store, base, size);
  if (!store.has(`${base}.qweight`)) return scaledMatrix(store, base, size, quantization?.settings);
  if (quantization?.method === "gptq") return gptqMatrix(store, base, size, quantization.settings);
  if (quantization?.method === "awq") return awqMatrix(store, base, size, quantization.settings);
  throw new GrokError(
    "unsupported",
    `${store.path}: tensor ${base}.qweight, and config.json says neither gptq nor awq`,
    {
      ...{ path: store.path, tensor: `${base}.qweight` },
    },
  );
}
