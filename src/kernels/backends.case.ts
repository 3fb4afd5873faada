import type { Ops } from "./ops.ts";
import { createReference } from "./reference/reference.ts";

/** A backend to test, or why it cannot be tested here. */
export interface BackendCase {
  readonly name: string;
  readonly create: () => Ops;
  readonly skip?: string;
}

export const backends: readonly BackendCase[] = [{ name: "reference", create: () => createReference() }];
