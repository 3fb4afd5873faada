import { existsSync } from "node:fs";
import type { Command } from "commander";
import { loadAddon } from "../../addon.ts";
import { formatBytes, GrokError } from "../../errors.ts";
import { freeBytes } from "../../machine/free-space.ts";
import { coreLimit } from "../../machine/limits.ts";
import { reportAddon } from "../addon-report.ts";
import { configPath, readConfig } from "../config.ts";
import { advise, type Diagnosis } from "../diagnosis.ts";
import { readMachine } from "../machine.ts";
import { addModel, findModel, type ModelOptions } from "../open-model.ts";
import { applyConfig } from "../settings.ts";
import { bold, escapeLine, hasColor, jsonDocument, table } from "../terminal.ts";

export function addDoctor(program: Command): void {
  const command = program
    .command("doctor")
    .description("What was built, what this computer has, and what would make it faster.");
  addModel(command).option("--json", "print one JSON document");
  command.action(async (_, options: ModelOptions & { readonly json?: true }) => {
    const problem = configProblem(command);
    const diagnosis = await diagnose({ ...options, ...command.opts() }, program.version() ?? "", problem);
    process.stdout.write(options.json ? `${jsonDocument(diagnosis)}\n` : render(diagnosis));
  });
}

/** What every other command refuses the config file for. */
function configProblem(command: Command): string | undefined {
  const path = configPath(process.env);
  try {
    applyConfig(command, readConfig(path), path);
    return undefined;
  } catch (error) {
    if (error instanceof GrokError) return error.message;
    throw error;
  }
}

async function diagnose(options: ModelOptions, version: string, problem: string | undefined): Promise<Diagnosis> {
  const machine = readMachine();
  const addon = reportAddon(loadAddon());
  const model = findModel(options);
  const modelProblem = model === undefined ? undefined : await problemOf(model);
  const configFile = configPath(process.env);
  return {
    grok1: version,
    ...machine,
    threads: coreLimit(),
    addon,
    model,
    freeDiskBytes: freeBytes(model !== undefined && existsSync(model) ? model : process.cwd()),
    configFile,
    configFound: existsSync(configFile),
    configProblem: problem,
    modelProblem,
    advice: [
      ...(problem === undefined ? [] : [`Mend the config file: ${problem}`]),
      ...(modelProblem === undefined ? [] : [`Name another model: ${modelProblem}`]),
      ...advise(machine, addon),
    ],
  };
}

/** Why a model does not run. */
async function problemOf(model: string): Promise<string | undefined> {
  const { loadModel } = await import("../../generate/load.ts");
  try {
    await (await loadModel(model)).close();
    return undefined;
  } catch (error) {
    if (error instanceof GrokError) return error.message;
    throw error;
  }
}

function render(found: Diagnosis): string {
  const { addon } = found;
  const optional = (value: number | undefined) => (value === undefined ? "" : formatBytes(value));
  const rows = [
    ["grok1", found.grok1],
    ["node", found.node],
    ["system", found.system],
    ["processor", found.processor],
    ["processors", `${found.processors}, of which ${found.threads} compute`],
    [
      "processor time",
      found.processorQuota === undefined ? "" : `${found.processorQuota} processors' (a control group's quota)`,
    ],
    [
      "addon",
      addon.present
        ? `${addon.path}, built with ${addon.compiler ?? "an unknown compiler"}`
        : `missing: ${addon.reason}`,
    ],
    ["kernels for", addon.present ? `${addon.best} (built: ${addon.isas.join(", ")})` : "none: plain TypeScript"],
    ["caches", addon.present ? [addon.l1d, addon.l2, addon.l3].map(formatCache).join(", ") : ""],
    ["features", addon.present ? addon.features.join(" ") : ""],
    ["memory", `${formatBytes(found.memoryBytes)}, ${formatBytes(found.availableBytes)} available`],
    ["memory limit", optional(found.memoryLimitBytes)],
    ["swap in use", found.swapUsedBytes ? formatBytes(found.swapUsedBytes) : ""],
    ["huge pages", found.transparentHugePages ?? ""],
    ["clock", found.clockGovernor ?? ""],
    ["free on disk", optional(found.freeDiskBytes)],
    [
      "model",
      found.model === undefined ? "none named" : `${found.model}${found.modelProblem ? " (does not run)" : ""}`,
    ],
    [
      "config file",
      `${found.configFile}${found.configProblem ? " (refused)" : found.configFound ? "" : " (not there)"}`,
    ],
  ].filter(([, value]) => value !== "");
  const title = bold("What would help", hasColor(process.stdout, process.env));
  const advice =
    found.advice.length === 0
      ? "\nNothing to improve.\n"
      : `\n${title}\n${found.advice.map((line) => `- ${escapeLine(line)}\n`).join("")}`;
  return table(rows.map(([name, value]) => [name!, escapeLine(value!)])) + advice;
}

/** Caches come in powers of 1024. */
function formatCache(bytes: number): string {
  return bytes >= 2 ** 20 ? `${bytes / 2 ** 20} MiB` : `${bytes / 1024} KiB`;
}
