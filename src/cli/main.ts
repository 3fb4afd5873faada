#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command, Help, type Option } from "commander";
import { addBench } from "./commands/bench.ts";
import { addChat } from "./commands/chat.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addFinetune } from "./commands/finetune.ts";
import { addInspect } from "./commands/inspect.ts";
import { addLogits } from "./commands/logits.ts";
import { addMerge } from "./commands/merge.ts";
import { addPerplexity } from "./commands/perplexity.ts";
import { addRun } from "./commands/run.ts";
import { addTokenize } from "./commands/tokenize.ts";
import { addTrain } from "./commands/train.ts";
import { addTrainTokenizer } from "./commands/train-tokenizer.ts";
import { configPath, readConfig } from "./config.ts";
import { failureOf } from "./exit.ts";
import { applyConfig } from "./settings.ts";

// A reader that has seen enough (`| head`) is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    process.exit(error.code === "EPIPE" ? 0 : 1);
  });
}

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

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
    const path = configPath(process.env);
    applyConfig(command, readConfig(path), path);
  });

for (const add of [
  addRun,
  addChat,
  addInspect,
  addTokenize,
  addTrainTokenizer,
  addTrain,
  addFinetune,
  addMerge,
  addLogits,
  addPerplexity,
  addBench,
  addDoctor,
]) {
  add(program);
}

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
  const { status, message } = failureOf(error);
  if (message !== undefined) process.stderr.write(`grok1: ${message}\n`);
  process.exitCode = status;
}
