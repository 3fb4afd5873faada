import type { TensorType } from "../tensor/types.ts";

/** Types that a trained model is written in. */
export const exportTypes = ["f32", "f16", "q8_0", "q4_0"] as const satisfies readonly TensorType[];

export type ExportType = (typeof exportTypes)[number];

export const defaultTrainOptions = { backend: "auto", processes: 1, type: "f16" } as const;
