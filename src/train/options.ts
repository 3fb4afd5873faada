export const defaultTrainOptions = { backend: "auto", processes: 1, type: "f16" } as const;
