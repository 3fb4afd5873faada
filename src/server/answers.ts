import type {
  ChatOptions,
  GenerateChunk,
  GenerateResult,
  Generation,
  LanguageModel,
  Session,
} from "../generate/types.ts";
import type { Served } from "./dialect.ts";

/** Asks a model, or a session of it, for an answer. */
export type Ask = (place: Pick<LanguageModel & Session, "generate" | "chat">, options: ChatOptions) => Generation;

/** Several answers to one question. */
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
 * Starts `n` answers, of which the question is computed once. With a seed, each has its own that follows from it; the first is what
 * one answer alone would be.
 */
export async function startAnswers(
  { model, report, signal }: Served,
  n: number,
  given: ChatOptions,
  ask: Ask,
): Promise<Answers> {
  const options = { ...given, signal };
  const sessions = n === 1 ? [] : [model.session()];
  let generations: readonly Generation[] = [];
  let reported = false;
  const results = async () => {
    const all = await Promise.all(generations.map(({ result }) => result));
    if (!reported) report(all);
    reported = true;
    return all;
  };
  const close = async () => {
    // What was computed for who left before the end counts too.
    for (const generation of generations) generation.cancel();
    await results().catch(() => undefined);
    await Promise.all(sessions.map((session) => session.close()));
  };
  try {
    if (n > 1) await ask(sessions[0]!, { ...options, maxTokens: 0 }).result;
    while (n > 1 && sessions.length < n) sessions.push(sessions[0]!.fork());
    const { seed } = options;
    generations = (n === 1 ? [model] : sessions).map((place, i) =>
      ask(place, {
        ...options,
        ...(seed !== undefined && { seed: seed < 2 ** 53 - i ? seed + i : seed - 2 ** 53 + i }),
      }),
    );
    return { results, pieces: () => interleave(generations), [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
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
