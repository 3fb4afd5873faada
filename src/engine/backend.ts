import { loadAddon } from "../addon.ts";
import { describeValue, GrokError } from "../errors.ts";
import { type Cancel, openNative } from "../kernels/native/native.ts";
import type { SlotStore, Streaming } from "../kernels/native/slot-store.ts";
import type { Ops } from "../kernels/ops.ts";
import { coreLimit, processorLimit } from "../machine/limits.ts";
import { checkBackend, defaultEngineOptions, type EngineOptions } from "./options.ts";

export interface OpenBackend {
  readonly ops: Ops;
  /** Why "auto" took the reference backend. */
  readonly fallbackReason: string | undefined;
  /** Instruction set of the native backend's kernels. */
  readonly isa: string | undefined;
  /** Where weights are streamed. */
  readonly slots?: SlotStore | undefined;
}

/**
 * `cancel` and `streaming`: as in `NativeOptions`.
 * @throws GrokError `unsupported` when "native" or an instruction set is asked for and the addon is not there; `argument` for a
 * backend or an instruction set that does not exist, or a number of threads out of its range.
 */
export async function openBackend(
  options: Pick<EngineOptions, "backend" | "threads" | "isa">,
  cancel?: Cancel,
  streaming?: Streaming,
): Promise<OpenBackend> {
  const { backend: choice = defaultEngineOptions.backend, threads: asked = coreLimit(), isa } = options;
  const threads = usefulThreads(asked);
  checkBackend(choice, threads);
  // Its code is read only where it computes.
  const openReference = async () => (await import("../kernels/reference/reference.ts")).createReference();
  if (choice === "reference") {
    if (isa !== undefined) {
      throw new GrokError(
        "argument",
        `isa is ${describeValue(isa)}, but the reference backend has no instruction sets`,
        {
          option: "isa",
        },
      );
    }
    return { ops: await openReference(), fallbackReason: undefined, isa: undefined };
  }
  const state = loadAddon();
  if (state.addon !== undefined) {
    const { isas } = state.addon.machine();
    if (isa !== undefined && !isas.includes(isa)) {
      throw new GrokError(
        "argument",
        `isa is ${typeof isa === "string" ? isa : describeValue(isa)}, expected one of this processor's and build's: ${isas.join(", ")}`,
        {
          option: "isa",
        },
      );
    }
    const { ops, native, slots } = openNative(state.addon, {
      threads,
      ...(isa !== undefined && { isa }),
      ...(cancel && { cancel }),
      ...(streaming && { streaming }),
    });
    return { ops, fallbackReason: undefined, isa: native.isa, slots };
  }
  if (choice === "auto" && isa === undefined)
    return { ops: await openReference(), fallbackReason: state.reason, isa: undefined };
  const option = choice === "auto" ? "isa" : "backend";
  throw new GrokError(
    "unsupported",
    `${option} is ${options[option]}, and the native backend is not there: ${state.reason}`,
    {
      ...{ option, reason: state.reason },
    },
  );
}

/**
 * At most one thread a processor: threads of a pool meet at every operation, so one that waits for its turn on a processor
 * holds up all others. A number that is out of range passes, to be refused by `openBackend`.
 */
export function usefulThreads(threads: number): number {
  return Number.isInteger(threads) && threads > 0 && threads <= 1024 ? Math.min(threads, processorLimit()) : threads;
}
