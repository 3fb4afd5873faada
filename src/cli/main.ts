#!/usr/bin/env node
import { readFileSync, writeSync } from "node:fs";
import { Command, Help, type Option } from "commander";
import { ioError } from "../bytes/io-error.ts";
import { configPath, readConfig } from "./config.ts";
import { failureOf } from "./exit.ts";
import { checkGiven } from "./given.ts";
import { settleOptions, takeModelArgument } from "./idle.ts";
import { applyConfig, nameSource, readSwitches } from "./settings.ts";

// A reader that has seen enough (`| head`) is no failure; a result that is lost is one.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  const { status, message } = failureOf(ioError("write", "standard output", error), String);
  report(message);
  process.exit(status);
});
process.stderr.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : 1);
});

/** At once, also where the process is about to end. */
function report(message: string | undefined): void {
  if (message === undefined) return;
  const line = `grok1: ${message}\n`;
  try {
    writeSync(process.stderr.fd, line);
  } catch {
    process.stderr.write(line);
  }
}

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

let running: Command | undefined;

const program = new Command("grok1")
  .description("Run Grok-1 and related mixture-of-experts language models on this computer.")
  .version(version, "-V, --version", "print the version")
  .helpOption("-h, --help", "print this help")
  .addHelpText(
    "after",
    `
grok1 COMMAND --help lists a command's options. A flag wins over an environment variable (GROK1_...), that over the
config file (${configPath(process.env)}), that over the default.
Exit status: 0 done, 1 failed, 2 used wrongly, 130 interrupted.`,
  )
  .configureOutput({
    // commander begins its messages with "error: " and puts a suggestion on a line of its own.
    outputError: (text, write) =>
      write(
        `grok1: ${text
          .replace(/^error: /, "")
          .trimEnd()
          .replaceAll("\n", " ")}\n`,
      ),
  })
  .hook("preAction", (_, command) => {
    running = command;
    checkGiven(process.argv, process.env);
    takeModelArgument(command);
    readSwitches(command, process.env);
    // It reads the file itself, and reports what is wrong with it.
    if (command.name() === "doctor") return;
    const path = configPath(process.env);
    applyConfig(command, readConfig(path), path);
    settleOptions(command);
  });

/** A command's code is read when it is asked for: whoever runs a model does not wait for the code that trains one. */
const commands = {
  run: async () => (await import("./commands/run.ts")).addRun,
  chat: async () => (await import("./commands/chat.ts")).addChat,
  plan: async () => (await import("./commands/plan.ts")).addPlan,
  simulate: async () => (await import("./commands/simulate.ts")).addSimulate,
  pull: async () => (await import("./commands/pull.ts")).addPull,
  "pull-data": async () => (await import("./commands/pull-data.ts")).addPullData,
  verify: async () => (await import("./commands/verify.ts")).addVerify,
  inspect: async () => (await import("./commands/inspect.ts")).addInspect,
  tokenize: async () => (await import("./commands/tokenize.ts")).addTokenize,
  "train-tokenizer": async () => (await import("./commands/train-tokenizer.ts")).addTrainTokenizer,
  train: async () => (await import("./commands/train.ts")).addTrain,
  finetune: async () => (await import("./commands/finetune.ts")).addFinetune,
  merge: async () => (await import("./commands/merge.ts")).addMerge,
  convert: async () => (await import("./commands/convert.ts")).addConvert,
  quantize: async () => (await import("./commands/quantize.ts")).addQuantize,
  logits: async () => (await import("./commands/logits.ts")).addLogits,
  imatrix: async () => (await import("./commands/imatrix.ts")).addImatrix,
  compare: async () => (await import("./commands/compare.ts")).addCompare,
  perplexity: async () => (await import("./commands/perplexity.ts")).addPerplexity,
  eval: async () => (await import("./commands/eval.ts")).addEval,
  scan: async () => (await import("./commands/scan.ts")).addScan,
  explain: async () => (await import("./commands/explain.ts")).addExplain,
  serve: async () => (await import("./commands/serve.ts")).addServe,
  bench: async () => (await import("./commands/bench.ts")).addBench,
  doctor: async () => (await import("./commands/doctor.ts")).addDoctor,
} as const;

const asked = process.argv[2] ?? "";
// Anything else, such as --help or a slip of the pen, wants to know them all.
const wanted = Object.hasOwn(commands, asked) ? [asked as keyof typeof commands] : Object.keys(commands);
for (const name of wanted as (keyof typeof commands)[]) (await commands[name]())(program);

// A setting's description names its sources itself; commander would add the variable once more.
const describeOption = (option: Option) =>
  option.envVar === undefined ? new Help().optionDescription(option) : option.description;

// Not inherited: each command has to be told to throw and not to exit, so that exit statuses come from one table.
for (const command of [program, ...program.commands]) {
  command
    .exitOverride()
    .helpOption("-h, --help", "print this help")
    .configureHelp({ optionDescription: describeOption })
    .configureOutput(program.configureOutput());
}

try {
  await program.parseAsync();
} catch (error) {
  const { status, message } = failureOf(error, (option) => (running ? nameSource(running, option) : option));
  report(message);
  process.exitCode = status;
}
