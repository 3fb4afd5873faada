import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { openBackend } from "../engine/backend.ts";
import { defaultContextLimit } from "../engine/options.ts";
import { GrokError } from "../errors.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";
import { type Web, webDefaults } from "../hub/request.ts";
import type { KvType } from "../kernels/ops.ts";
import { coreLimit } from "../machine/limits.ts";
import { checkNames, checkText, checkWhole, withDefaults } from "../options.ts";
import type { Kernels } from "./estimate.ts";
import { tabledKernels } from "./kernel-rates.ts";
import { knownModels, knownShape } from "./known-models.ts";
import { measureMachine, type PlanMachine, readMachine } from "./machine.ts";
import { measureKernels } from "./measured-kernels.ts";
import { type ModelShape, shapeOf } from "./model-shape.ts";
import { type Plan, planFor } from "./plan.ts";
import { openRemoteGguf } from "./remote.ts";

export interface PlanModelOptions extends Partial<Web> {
  /** A machine that is not here: a file that describes it, or the name of one of the package's. Default: this one, measured. */
  readonly machine?: string | undefined;
  /** Folder on the disk to measure. Default: the model's, or the current one. */
  readonly disk?: string | undefined;
  /** Of this machine. Default: its physical cores. */
  readonly threads?: number | undefined;
  readonly isa?: string | undefined;
  /** Tokens that keys and values are kept of. Default: the model's own, at most 8192. */
  readonly context?: number | undefined;
  readonly kvType?: KvType | undefined;
  /** Told what it is at. */
  readonly onStep?: ((step: string) => void) | undefined;
}

export interface ModelPlan extends Plan {
  readonly model: string;
  readonly context: number;
  readonly kvType: KvType;
  readonly machine: PlanMachine;
}

/**
 * What a model would do on a machine, by quantization. Nothing of it is downloaded but a header.
 * @param model a name of {@link knownModels}, a GGUF file, its address, or `OWNER/NAME/FILE.gguf` on Hugging Face.
 * @throws GrokError `argument` for a model or machine that is not known; `io`, `format`, `cancelled`; `unsupported` for this machine where
 * the native backend is not there.
 */
export async function planModel(model: string, options: PlanModelOptions = {}): Promise<ModelPlan> {
  checkText("model", model);
  checkNames("planModel", options, optionNames);
  const { kvType = "f16", onStep, signal } = options;
  if (options.context !== undefined) checkWhole("context", options.context, 1, Number.MAX_SAFE_INTEGER);
  onStep?.("reading the model's header");
  const { shape, file } = await findModel(model, withDefaults(options, webDefaults));
  try {
    const context = Math.min(options.context ?? defaultContextLimit, shape.config.contextLength);
    if (options.machine === undefined) onStep?.("measuring this machine");
    const { machine, kernels, close } =
      options.machine === undefined
        ? await measureHere(shape, file, options, signal)
        : describedMachine(options.machine);
    try {
      const onRow = (quantization: string) => {
        if (signal?.aborted) throw new GrokError("cancelled", "planning was cancelled", {}, signal.reason);
        onStep?.(`estimating ${quantization}`);
      };
      const plan = await planFor(shape, file !== undefined, machine, kernels, { context, kvType, onRow });
      return { model: shape.name, context, kvType, machine, ...plan };
    } finally {
      close();
    }
  } finally {
    file?.close();
  }
}

const optionNames = Object.keys({
  ...{ machine: true, disk: true, threads: true, isa: true, context: true, kvType: true, onStep: true },
  ...{ endpoint: true, token: true, signal: true, stallSeconds: true, attempts: true, pauseSeconds: true },
} satisfies Record<keyof PlanModelOptions, true>);

async function findModel(model: string, web: Web): Promise<{ readonly shape: ModelShape; readonly file?: GgufFile }> {
  const isLocal = existsSync(model);
  const known = isLocal ? undefined : knownShape(model);
  if (known) return { shape: known };
  const [, owner, name, rest] = /^([\w.-]+)\/([\w.-]+)\/(.+\.gguf)$/.exec(model) ?? [];
  const address = /^https?:\/\//.test(model)
    ? model.replace(/(\/[^/]+\/[^/]+)\/blob\//, "$1/resolve/")
    : owner !== undefined && !isLocal
      ? `${web.endpoint.replace(/\/+$/, "")}/${owner}/${name}/resolve/main/${rest}`
      : undefined;
  if (address === undefined && !isLocal) {
    const message = `${model}: neither a file, nor an address, nor a model known by name: ${knownModels.join(", ")}`;
    throw new GrokError("argument", message, { model });
  }
  const file = address === undefined ? openGguf(model) : await openRemoteGguf(web, address);
  return { shape: shapeOf(file, model), file };
}

interface Planned {
  readonly machine: PlanMachine;
  readonly kernels: Kernels;
  readonly close: () => void;
}

async function measureHere(
  shape: ModelShape,
  file: GgufFile | undefined,
  { isa, threads = coreLimit(), disk }: PlanModelOptions,
  signal: AbortSignal | undefined,
): Promise<Planned> {
  const backend = await openBackend({ backend: "native", threads, ...(isa !== undefined && { isa }) });
  const local = file && existsSync(file.path) ? file : undefined;
  const folder = disk ?? (local ? dirname(local.path) : ".");
  const machine = await measureMachine(backend.ops.threads, backend.isa ?? backend.ops.backend, folder);
  // Parts of a split model lie as the first one does.
  const weights = local && [...local.tensors.values()][0]?.places[0];
  const kernels = measureKernels(backend.ops, {
    ...{ modelBytes: shape.bytes, signal },
    file: weights && "file" in weights ? weights.file : undefined,
  });
  return { machine, kernels, close: kernels.close };
}

/** Descriptions that come with the package. */
const ownMachines = fileURLToPath(new URL("../../docs/machines/", import.meta.url));

function describedMachine(name: string): Planned {
  const own = readdirSync(ownMachines).filter((file) => file.endsWith(".json"));
  const isName = !existsSync(name) && /^[\w-]+$/.test(name);
  if (isName && !own.includes(`${name}.json`)) {
    const known = own.map((file) => file.slice(0, -".json".length)).sort();
    const message = `machine ${name}: neither a file nor a machine known by name: ${known.join(", ")}`;
    throw new GrokError("argument", message, { option: "machine" });
  }
  const machine = readMachine(isName ? join(ownMachines, `${name}.json`) : name);
  return { machine, kernels: tabledKernels(machine), close: () => undefined };
}
