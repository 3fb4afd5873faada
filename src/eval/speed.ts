import type { BenchOptions, BenchResult } from "../engine/consumers/bench.ts";
import type { EngineInfo } from "../engine/engine.ts";
import type { ExpertStatus } from "../engine/expert-status.ts";
import type { LanguageModel } from "../generate/types.ts";
import { measureBandwidth } from "./bandwidth.ts";

export interface SpeedResult extends BenchResult, Pick<EngineInfo, "backend" | "threads" | "isa" | "kvType"> {
  /** Seconds from the call of `loadModel` until the model was ready. */
  readonly loadSeconds: number;
  /** Bytes of weights that decoding one token reads. */
  readonly bytesPerToken: number;
  /** Bytes a second that the same number of threads read from memory, measured after the runs. */
  readonly memoryBandwidth: number;
  /** Bytes of weights read a second while decoding, as a part of `memoryBandwidth`: 1 is the floor that memory sets. */
  readonly decodeFractionOfBandwidth: number;
  /** What was done to have experts where not all fit into memory, the run to warm up with it. */
  readonly experts: ExpertStatus | undefined;
}

/** Measures a loaded model: prefill, teacher-forced decode, and how near decode comes to what the memory allows. */
export async function measureSpeed(model: LanguageModel, options: BenchOptions = {}): Promise<SpeedResult> {
  const result = await model.bench(options);
  const { backend, threads, isa, kvType } = model.info;
  const { bytesPerToken } = model.description;
  const { experts } = await model.status();
  const memoryBandwidth = measureBandwidth(threads);
  return {
    loadSeconds: model.loadSeconds,
    ...result,
    bytesPerToken,
    memoryBandwidth,
    decodeFractionOfBandwidth: (bytesPerToken * result.decodeTokensPerSecond) / memoryBandwidth,
    ...{ backend, threads, isa, kvType, experts },
  };
}
