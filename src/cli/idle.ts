import type { Command } from "commander";
import { usageError } from "./exit.ts";
import { describeSource, dropSetting, flagOf, isGiven } from "./settings.ts";

/** Options that change nothing beside what else holds, and why: "without --json". */
interface IdleRule {
  readonly options: readonly string[];
  /** Undefined where they have their effect. `say` names an option with its value and where that came from. */
  readonly because: (values: Readonly<Record<string, unknown>>, say: (option: string) => string) => string | undefined;
}

const without = (options: readonly string[], needed: string, flag: string): IdleRule => ({
  options,
  because: (values) => (values[needed] === undefined ? `without ${flag}` : undefined),
});

const beside = (options: readonly string[], other: string, when: (value: unknown) => boolean): IdleRule => ({
  options,
  because: (values, say) => (when(values[other]) ? `with ${say(other)}` : undefined),
});

const draws = ["topK", "topP", "minP", "typicalP", "seed"];
const penalties = { repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 };

const sampling: readonly IdleRule[] = [
  beside(draws, "temperature", (temperature) => temperature === 0),
  {
    options: ["penaltyWindow"],
    because: (values) =>
      Object.entries(penalties).every(([name, none]) => (values[name] ?? none) === none)
        ? "without a penalty, such as --repetition-penalty"
        : undefined,
  },
];

/** The reference backend computes on one thread, without instruction sets. */
const computing = beside(["threads", "isa"], "backend", (backend) => backend === "reference");

const drafting = beside(["draft"], "speculation", (speculation) => speculation === false);

/** By command, in an order in which what is dropped by one rule is no reason for the next. */
const rules: Readonly<Record<string, readonly IdleRule[]>> = {
  run: [
    without(["system", "chatTemplate"], "chat", "--chat"),
    without(["logprobs"], "json", "--json"),
    beside(["special"], "chat", (chat) => chat === true),
    beside(
      ["temperature", ...draws, ...Object.keys(penalties), "penaltyWindow", "logitBias", "speculation", "draft"],
      "beams",
      (beams) => Number(beams) > 1,
    ),
    without(["lengthPenalty"], "beams", "--beams"),
    beside(["lengthPenalty"], "beams", (beams) => beams === 1),
    ...sampling,
    computing,
    drafting,
  ],
  chat: [beside(["system"], "load", (load) => load !== undefined), ...sampling, computing, drafting],
  serve: [drafting],
  tokenize: [beside(["model"], "tokenizer", (tokenizer) => tokenizer !== undefined)],
  logits: [computing],
  perplexity: [computing],
  eval: [computing],
  bench: [computing],
  train: [beside(["resume", "type"], "budget", (budget) => budget !== undefined), computing],
  finetune: [
    beside(["epochs"], "steps", (steps) => steps !== undefined),
    beside(["evaluationInterval"], "heldOut", (heldOut) => heldOut === 0),
    computing,
  ],
};

/**
 * Holds a command's options against each other. A flag that would change nothing is a mistake of whoever typed it, and is refused;
 * environment and config file may well hold what this command does not use, and yield. A context from there is what is wished for at
 * most, a type of cache what is wished for where the model can have it: another model has less, or its own.
 * @throws GrokError `argument` naming the flag, and what makes it idle with where that came from.
 */
export function settleOptions(command: Command): void {
  const say = (option: string) => describeSource(command, option);
  for (const { options, because } of rules[command.name()] ?? []) {
    const reason = because(command.opts(), say);
    if (reason === undefined) continue;
    for (const option of options) {
      if (isGiven(command, option)) throw usageError(`${flagOf(command, option)} has no effect ${reason}`);
      dropSetting(command, option);
    }
  }
  for (const [name, wish] of [
    ["context", "contextAtMost"],
    ["kvType", "kvTypeIfFits"],
  ] as const) {
    const value: unknown = command.getOptionValue(name);
    if (dropSetting(command, name)) command.setOptionValue(wish, value);
  }
}

/**
 * A model file as a plain argument counts as one given with `--model`.
 * @throws GrokError `argument` for both.
 */
export function takeModelArgument(command: Command): void {
  const [path] = command.args;
  if (path === undefined || command.registeredArguments[0]?.name() !== "model") return;
  if (isGiven(command, "model")) {
    throw usageError(`two models: ${path} and ${describeSource(command, "model")}`);
  }
  command.setOptionValueWithSource("model", command.processedArgs[0], "cli");
}
