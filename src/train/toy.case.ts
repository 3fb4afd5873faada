import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTokenizerTrainer } from "../tokenizer/train.ts";
import { parseTrainConfig, type TrainConfig } from "./config.ts";
import { parameterSpecs } from "./parameters.ts";
import { listCheckpoints, openCheckpoint } from "./run-checkpoint.ts";

const words = ["sun", "moon", "fox", "sea", "tree", "bird", "rain", "stone"];

/**
 * Texts of a toy language: a word is always followed by the one after it in the list, from any beginning. Who knows how often
 * words occur knows nothing of the next one; who learned the order knows all.
 */
export function toyTexts(): string[] {
  return words.flatMap((_, start) =>
    [6, 8, 12].map((length) => Array.from({ length }, (_, i) => words[(start + i) % words.length]).join(" ")),
  );
}

export interface Toy {
  readonly folder: string;
  /** A configuration with changes, in a folder of its own. */
  config(changes?: Record<string, unknown>): TrainConfig;
}

/** A folder with a tokenizer, texts and conversations of the toy language. */
export function makeToy(): Toy {
  const folder = mkdtempSync(join(tmpdir(), "grok1-toy-"));
  const texts = toyTexts();
  const trainer = createTokenizerTrainer({ vocabSize: 304, controlSymbols: ["<|user|>", "<|assistant|>", "<|end|>"] });
  for (const text of texts) trainer.add(text);
  writeFileSync(join(folder, "tokenizer.model"), trainer.train().bytes);
  writeFileSync(join(folder, "texts.txt"), texts.slice(2).join("<|endoftext|>"));
  writeFileSync(join(folder, "held-out.txt"), texts.slice(0, 2).join("<|endoftext|>"));
  writeFileSync(
    join(folder, "template.jinja"),
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
  );
  let runs = 0;
  return {
    folder,
    config(changes = {}) {
      const out = join(folder, `run-${runs++}`);
      mkdirSync(out);
      return parseTrainConfig(
        {
          model: {
            name: "toy",
            ...{
              layers: 2,
              width: 16,
              heads: 2,
              kvHeads: 1,
              headSize: 8,
              experts: 4,
              used: 2,
              hidden: 16,
              context: 16,
            },
          },
          ...{ tokenizer: "tokenizer.model", chatTemplate: "template.jinja", out },
          data: {
            cache: "cache",
            sources: [{ name: "toy", path: "texts.txt", heldOut: "held-out.txt", format: "text" }],
          },
          ...{ steps: 6, batchTokens: 48, seed: 5, optimizer: { rate: 0.01, warmup: 3 } },
          ...{ evaluation: { interval: 4 }, checkpoint: { interval: 2 } },
          ...changes,
        },
        join(folder, "config.json"),
      );
    },
  };
}

/** Values and moments of a run's last checkpoint, by part and name. */
export function lastTensors({ out, model }: TrainConfig): Map<string, number[]> {
  const checkpoint = openCheckpoint(listCheckpoints(out).at(-1)!.path);
  const tensors = new Map<string, number[]>();
  for (const { name, shape } of parameterSpecs(model, checkpoint.state.vocab)) {
    for (const part of ["values", "mean", "variance"] as const) {
      tensors.set(`${part}/${name}`, [...checkpoint.values(part, name, shape)]);
    }
  }
  checkpoint.close();
  return tensors;
}
