import type { GenerateOptions, GenerateResult, LanguageModel } from "../generate/types.ts";

/** What a request is answered with. */
export interface Served {
  /** Of this request, in answers and in the log. */
  readonly id: string;
  readonly name: string;
  readonly model: LanguageModel;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
  /** What whoever runs the server wants where a request says nothing. */
  readonly preferred: GenerateOptions;
  /** Told of what was generated. */
  report(results: readonly GenerateResult[]): void;
}

/** What a dialect makes of a request: one JSON value, or events. */
export interface Reply {
  whole(): Promise<object>;
  events(): AsyncGenerator<string, void, undefined>;
}
