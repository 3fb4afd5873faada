import { z } from "zod";
import type { OnScored } from "../../engine/consumers/score.ts";
import type { TokenLogprob } from "../../engine/request.ts";
import { GrokError } from "../../errors.ts";
import { inTurns } from "../../generate/turns.ts";
import type { GenerateResult } from "../../generate/types.ts";
import type { Steps } from "../../tokenizer/steps.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { type Answers, type Ask, startAnswers } from "../answers.ts";
import type { Reply, Served } from "../dialect.ts";
import { eventOf } from "../events.ts";
import { refusedBy } from "../moderation/moderator.ts";
import { tokenIds } from "../token-ids.ts";
import { finishReasonOf, generationFields, optionsOf, placesAtATime, seconds, tokenText, usageOf } from "./fields.ts";

export const completionRequest = z.strictObject({
  ...generationFields,
  prompt: z.union([z.string(), z.array(z.string()).min(1).max(1024), tokenIds, z.array(tokenIds).min(1).max(1024)]),
  logprobs: z.int().min(0).max(100).nullish(),
  echo: z.boolean().nullish(),
  best_of: z.literal(1, "one answer is not chosen from several here").nullish(),
  suffix: z.literal("", "nothing can be inserted before a text here").nullish(),
});

export type CompletionRequest = z.infer<typeof completionRequest>;

/** What a request that names no length gets, as OpenAI has it. */
const usualLength = 16;

/** `POST /v1/completions`: of each prompt `n` answers, in that order. */
export function replyToCompletion(request: CompletionRequest, served: Served): Reply {
  const { tokenizer } = served.model;
  const head = { id: `cmpl-${served.id}`, object: "text_completion", created: seconds(), model: served.name };
  const prompts = promptsOf(request.prompt);
  const n = request.n ?? 1;
  const start = (): Answers => {
    const options = {
      ...{ maxTokens: usualLength, ...optionsOf(request, served.preferred) },
      ...(request.logprobs != null && { logprobs: request.logprobs }),
    };
    const asks = prompts.map(
      (prompt): Ask =>
        (model, more) =>
          model.generate(prompt, more),
    );
    return startAnswers(served, n, options, ...asks);
  };

  return {
    async whole() {
      const echoes = request.echo ? await echo(prompts, request, served) : [];
      await using answers = start();
      const results = await answers.results();
      const choiceOf = async (result: GenerateResult, index: number) => {
        const { text, logprobs, endLogprobs = [] } = result;
        const before = echoes[Math.floor(index / n)];
        const list = createLister(tokenizer, before?.text.length ?? 0);
        const after = logprobs && (await inTurns(listSteps(list, [...logprobs, ...endLogprobs])));
        return {
          ...{ index, text: (before?.text ?? "") + text, finish_reason: finishOf(result) },
          logprobs: before?.logprobs && after ? joinLists([before.logprobs, after]) : (after ?? null),
        };
      };
      const choices = await Promise.all(results.map(choiceOf));
      return { ...head, choices, usage: usageOf(results, n) };
    },

    async *pieces() {
      const withUsage = request.stream_options?.include_usage === true;
      if (request.echo) throw new GrokError("argument", "echo: a prompt is not streamed", { option: "echo" });
      const event = (choices: readonly object[], usage: object | null = null) =>
        eventOf({ ...head, choices, ...(withUsage && { usage }) });
      await using answers = start();
      const listers = Array.from({ length: prompts.length * n }, () => createLister(tokenizer, 0));
      for await (const { index, ...piece } of answers.pieces()) {
        const { text, logprobs } = piece.chunk ?? { text: "", logprobs: piece.result.endLogprobs };
        const listed = logprobs?.length ? listers[index]!(logprobs) : null;
        yield event([{ index, text, logprobs: listed, finish_reason: piece.result ? finishOf(piece.result) : null }]);
      }
      const usage = usageOf(await answers.results(), n);
      if (withUsage) yield event([], usage);
      yield eventOf("[DONE]");
    },
  };
}

const finishOf = (result: GenerateResult) =>
  refusedBy(result) === undefined ? finishReasonOf(result.finishReason) : "content_filter";

type Prompt = string | readonly number[];

function promptsOf(prompt: CompletionRequest["prompt"]): readonly Prompt[] {
  return typeof prompt === "string" || typeof prompt[0] === "number"
    ? [prompt as Prompt]
    : (prompt as readonly Prompt[]);
}

/** A prompt as it is given back: its text, and what the model thought of each of its tokens but the first. */
interface Echo {
  readonly text: string;
  readonly logprobs: LogprobLists | undefined;
}

/** Prompts are scored together: what they have in common at their beginning is computed once. */
async function echo(
  prompts: readonly Prompt[],
  request: CompletionRequest,
  { model, signal }: Served,
): Promise<Echo[]> {
  const { tokenizer } = model;
  const tokens: Int32Array[] = [];
  for (const prompt of prompts) {
    tokens.push(typeof prompt === "string" ? await inTurns(model.encodeSteps(prompt)) : Int32Array.from(prompt));
  }
  const entries: TokenLogprob[][] = tokens.map(() => []);
  if (request.logprobs != null) {
    const onScored: OnScored = (index, logprobs, top) => {
      entries[index] = Array.from(logprobs, (logprob, i) => ({
        token: tokens[index]![i + 1]!,
        logprob,
        top: top[i] ?? [],
      }));
    };
    await model.score(
      tokens.map((ids) => ({ tokens: ids })),
      { top: request.logprobs, onScored, signal },
    );
  }
  const echoes: Echo[] = [];
  for (const [index, prompt] of prompts.entries()) {
    const ids = tokens[index]!;
    const { text, offsets } = placeTokens(tokenizer, ids, typeof prompt === "string");
    if (request.logprobs == null) {
      echoes.push({ text, logprobs: undefined });
      continue;
    }
    const first = { tokens: [tokenText(tokenizer, ids[0]!).token], token_logprobs: [null], top_logprobs: [null] };
    const listed = await inTurns(listSteps(createLister(tokenizer, 0), entries[index]!));
    echoes.push({
      text,
      logprobs: { ...joinLists([{ ...first, text_offset: [] }, listed]), text_offset: offsets },
    });
  }
  return echoes;
}

/** The text of tokens, and where in it each begins. What a text was begun with by the model's own wish is no part of it. */
function placeTokens(tokenizer: Tokenizer, ids: Int32Array, isText: boolean) {
  const decoder = tokenizer.decoder({ special: true });
  let text = "";
  const offsets = Array.from(ids, (id, i) => {
    const at = text.length;
    if (!(i === 0 && isText && id === tokenizer.bos)) text += decoder.push(id);
    return at;
  });
  return { text: text + decoder.end(), offsets };
}

/**
 * A completion's `logprobs`: lists beside each other. The first token of a text has no probability: nothing predicts it. Each token that
 * was generated has a place, as with OpenAI and vLLM, those behind the text too: who scores a prompt takes the last one off.
 */
interface LogprobLists {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
  /** Where in the choice's text each token begins, in UTF-16 units. */
  readonly text_offset: readonly number[];
}

/** Lists what comes, piece by piece. @param offset where the first token begins */
function createLister(tokenizer: Tokenizer, offset: number): (entries: readonly TokenLogprob[]) => LogprobLists {
  let at = offset;
  const decoder = tokenizer.decoder({ continuation: true });
  const lengthOf = (token: number) => (token < tokenizer.vocabSize ? decoder.push(token).length : 0);
  return (entries) => ({
    tokens: entries.map(({ token }) => tokenText(tokenizer, token).token),
    token_logprobs: entries.map(({ logprob }) => logprob),
    top_logprobs: entries.map(({ top }) =>
      Object.fromEntries(top.map(({ token, logprob }) => [tokenText(tokenizer, token).token, logprob])),
    ),
    text_offset: entries.map(({ token }) => {
      const begins = at;
      at += lengthOf(token);
      return begins;
    }),
  });
}

/** All of them, some at a time. */
function* listSteps(list: ReturnType<typeof createLister>, entries: readonly TokenLogprob[]): Steps<LogprobLists> {
  const parts: LogprobLists[] = [];
  for (let at = 0; at < entries.length; at += placesAtATime) {
    if (at > 0) yield;
    parts.push(list(entries.slice(at, at + placesAtATime)));
  }
  return joinLists(parts);
}

function joinLists(lists: readonly LogprobLists[]): LogprobLists {
  return {
    tokens: lists.flatMap(({ tokens }) => tokens),
    token_logprobs: lists.flatMap((list) => list.token_logprobs),
    top_logprobs: lists.flatMap((list) => list.top_logprobs),
    text_offset: lists.flatMap((list) => list.text_offset),
  };
}
