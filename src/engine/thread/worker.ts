import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { loadAddon } from "../../addon.ts";
import { checkDestination } from "../../bytes/destination.ts";
import { type GgufFile, openGguf } from "../../formats/gguf/file.ts";
import { adaptOps } from "../../model/lora/apply.ts";
import { type Observer, observe } from "../../model/observe.ts";
import { bindModel } from "../../model/registry.ts";
import { encodedBytes } from "../../tensor/types.ts";
import { openAdapters } from "../adapters.ts";
import { openBackend } from "../backend.ts";
import { openCopies } from "../copies.ts";
import { createCore } from "../core.ts";
import { bindDraft, openDraft } from "../draft-file.ts";
import { streamingOf, traceHead } from "../memory.ts";
import {
  defaultPromptCacheBytes,
  type EngineOptions,
  type SettledEngineOptions,
  settleEngineOptions,
} from "../options.ts";
import { countRouting, recordRouting } from "../routing.ts";
import { createIdentity } from "../saved/identity.ts";
import { openPageFiles } from "../saved/page-files.ts";
import { openStandIn } from "../stand-in-file.ts";
import { answerMessages } from "./answer.ts";
import { createCancellations, makeInterruptible } from "./interrupt.ts";
import { errorToData, type FromEngine, type WorkerStart } from "./protocol.ts";

/** The engine's thread: opens the file, binds the model, answers messages. */
const port = parentPort!;
const post = (message: FromEngine) => port.postMessage(message);

async function start({ path, options, cancellations }: WorkerStart): Promise<void> {
  const began = performance.now();
  const file = openGguf(path);
  const interrupt = createCancellations(cancellations);
  const draftFile = options.draft === undefined ? undefined : openDraft(options.draft, file);
  const { standIn } = options.lossy ?? {};
  const standInFile = standIn === undefined ? undefined : openStandIn(standIn, file, draftFile);
  const { streaming, batchTokens } = streamingOf(file, options, { draft: draftFile, standIn: standInFile });
  const copies = options.copies && openCopies(options.copies, file);
  const backend = await openBackend(
    options,
    interrupt,
    streaming && { ...streaming, ...(copies && { copies: copies.files }) },
  );
  const { ops: plain, counts: chosen } = countRouting(makeInterruptible(backend.ops, interrupt));
  if (options.trace !== undefined) {
    const beside = [draftFile, standInFile].flatMap((each) => each?.paths ?? []);
    checkDestination(options.trace, [...file.paths, ...beside, ...(options.copies ?? [])], "a file that is read", {
      inPlace: true,
    });
  }
  const recorded = options.trace === undefined ? undefined : recordRouting(plain, options.trace, traceHead(file));
  const adapted = options.adapters?.length ? adaptOps(recorded?.ops ?? plain) : undefined;
  const ops = adapted?.ops ?? recorded?.ops ?? plain;
  const adapters = adapted && openAdapters(adapted, file, options.adapters!);
  const model = bindModel(ops, file);
  const draft = draftFile && bindDraft(makeInterruptible(backend.ops, interrupt), draftFile);
  await backend.slots?.ready();
  backend.slots?.govern();
  const settled = settleEngineOptions({ ...options, batchTokens }, ops, model.config, { path });
  const bindObserved = (see: Observer) => bindModel(observe(ops, see), file);
  const { slots } = backend;
  const experts =
    slots &&
    (() => ({
      ...{ bytes: slots.cache.bytes, usedBytes: slots.cache.used, problem: slots.problem, ...slots.counters },
      // Layers that never waited are none of it.
      stalled: Array.from(slots.counters.stalled, (each) => each ?? 0),
    }));
  const saved = await openSaved([file, ...(standInFile ? [standInFile] : [])], options, {
    ...settled,
    backend: ops.backend,
    isa: backend.isa,
  });
  const core = createCore(ops, model, settled, {
    interrupt,
    adapters,
    source: path,
    saved,
    bindObserved,
    experts,
    chosen,
    draft,
  });

  // Also while nobody asks for anything.
  const governing = slots && setInterval(() => slots.govern(), 200);

  const { layers, kvHeads, headSize } = model.config;
  answerMessages(port, {
    core,
    onClose: () => {
      clearInterval(governing);
      recorded?.close();
      ops.close();
      file.close();
      draftFile?.close();
      if (standInFile !== draftFile) standInFile?.close();
      copies?.close();
      port.close();
    },
  });
  post({
    type: "ready",
    info: {
      backend: ops.backend,
      fallbackReason: backend.fallbackReason,
      threads: ops.threads,
      isa: backend.isa,
      contextLength: settled.contextLength,
      vocab: model.config.vocab,
      kvType: settled.kvType,
      kvBytes: settled.cacheTokens * layers * 2 * encodedBytes(settled.kvType, kvHeads * headSize),
      adapters: adapters?.held ?? [],
      adapterPaths: (options.adapters ?? []).map(({ path }) => path),
      loadSeconds: (performance.now() - began) / 1000,
      expertBytes: slots?.cache.bytes,
    },
  });
}

/** Pages that this program, with these kernels and these files, has left. */
async function openSaved(files: readonly GgufFile[], options: EngineOptions, { kvType, backend, isa }: PageMakers) {
  const { promptCache, adapters = [], lossy } = options;
  if (promptCache === undefined) return undefined;
  const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8"));
  const how = {
    version,
    kernels: loadAddon().addon?.sources,
    backend,
    isa,
    kvType,
    ...(lossy && { lossy: { ...lossy, standIn: undefined } }),
  };
  return {
    files: await openPageFiles({ bytes: defaultPromptCacheBytes, ...promptCache }),
    identity: createIdentity({ model: files.flatMap(({ paths }) => paths), adapters, how }),
  };
}

interface PageMakers extends Pick<SettledEngineOptions, "kvType"> {
  readonly backend: string;
  readonly isa: string | undefined;
}

try {
  await start(workerData as WorkerStart);
} catch (error) {
  post({ type: "failed", error: errorToData(error) });
  port.close();
}
