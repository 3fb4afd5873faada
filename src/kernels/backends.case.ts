import { loadAddon } from "../addon.ts";
import { createNative } from "./native/native.ts";
import type { Ops } from "./ops.ts";
import { createReference } from "./reference/reference.ts";

/** A backend to test, or why it cannot be tested here. */
export interface BackendCase {
  readonly name: string;
  readonly create: () => Ops;
  readonly skip?: string;
}

const state = loadAddon();

/** The reference, and the native backend on every instruction set that this processor has. */
export const backends: readonly BackendCase[] = [
  { name: "reference", create: () => createReference() },
  ...(state.addon === undefined
    ? [{ name: "native", create: createReference, skip: `no addon: ${state.reason}` }]
    : state.addon.machine().isas.map((isa) => ({
        name: `native ${isa}`,
        create: () => createNative(state.addon, { threads: 2, isa }),
      }))),
];
