import type { ChatOptions, GenerateChunk, GenerateResult, Generation, LanguageModel } from "../generate/types.ts";
import type { Served } from "./dialect.ts";

/** Asks a model for an answer. */
export type Ask = (model: LanguageModel, options: ChatOptions) => Generation;

/** Several answers, to one question or to several. Disposed of, they end. */
export interface Answers extends AsyncDisposable {
  /** All of them, when they are whole. @throws GrokError of the first that fails */
  results(): Promise<GenerateResult[]>;
  /** What they give, as it comes: pieces, and of each at last the result. */
  pieces(): AsyncGenerator<AnswerPiece, void, undefined>;
}

export type AnswerPiece =
  | { readonly index: number; readonly chunk: GenerateChunk; readonly result?: undefined }
  | { readonly index: number; readonly chunk?: undefined; readonly result: GenerateResult };

/**
 * Starts `n` answers to each question, which the engine computes once: those to the first come first. With a seed, each has its own that
 * follows from it; the first is what one answer alone would be.
 */
export function startAnswers(
  { model, report, signal }: Served,
  n: number,
  given: ChatOptions,
  ...asked: readonly Ask[]
): Answers {
  const { seed } = given;
  const generations = asked.flatMap((ask) =>
    Array.from({ length: n }, (_, i) =>
      ask(model, {
        ...given,
        signal,
        ...(seed !== undefined && { seed: seed < 2 ** 53 - i ? seed + i : seed - 2 ** 53 + i }),
      }),
    ),
  );
  let reported = false;
  const results = async () => {
    const all = await Promise.all(generations.map(({ result }) => result));
    if (!reported) report(all);
    reported = true;
    return all;
  };
  return {
    results,
    pieces: () => interleave(generations),
    async [Symbol.asyncDispose]() {
      // What was computed for who left before the end counts too.
      for (const generation of generations) generation.cancel();
      await results().catch(() => undefined);
    },
  };
}

async function* interleave(generations: readonly Generation[]): AsyncGenerator<AnswerPiece, void, undefined> {
  const iterators = generations.map((generation) => generation[Symbol.asyncIterator]());
  const next = (index: number) => iterators[index]!.next().then((step) => ({ index, step }));
  const pending = new Map(iterators.map((_, index) => [index, next(index)]));
  try {
    while (pending.size > 0) {
      const { index, step } = await Promise.race(pending.values());
      if (step.done) {
        pending.delete(index);
        yield { index, result: await generations[index]!.result };
      } else {
        pending.set(index, next(index));
        yield { index, chunk: step.value };
      }
    }
  } finally {
    for (const generation of generations) generation.cancel();
  }
}
