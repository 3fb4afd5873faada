import { loadAddon } from "../addon.ts";
import { type BackendChoice, checkBackend } from "../engine/options.ts";
import { GrokError } from "../errors.ts";
import type { GradOps } from "../kernels/grad-ops.ts";
import { createNativeGrad } from "../kernels/native/grad-native.ts";
import { createGradReference } from "../kernels/reference/grad-reference.ts";

export interface OpenGradBackend {
  readonly ops: GradOps;
  /** Why "auto" took the reference backend. */
  readonly fallbackReason: string | undefined;
}

/**
 * @throws GrokError `unsupported` when "native" is asked for and the addon is not there; `argument` for a backend that does not exist, or
 * a number of threads out of its range.
 */
export function openGradBackend(choice: BackendChoice, threads: number): OpenGradBackend {
  checkBackend(choice, threads);
  if (choice === "reference") return { ops: createGradReference(), fallbackReason: undefined };
  const state = loadAddon();
  if (state.addon !== undefined) return { ops: createNativeGrad(state.addon, { threads }), fallbackReason: undefined };
  if (choice === "auto") return { ops: createGradReference(), fallbackReason: state.reason };
  throw new GrokError("unsupported", `backend is native, and the native backend is not there: ${state.reason}`, {
    ...{ option: "backend", reason: state.reason },
  });
}
