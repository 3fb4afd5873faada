import { GrokError } from "../../errors.ts";
import { startAfter } from "../../generate/generation.ts";
import type { GenerateChunk, GenerateResult, Generation } from "../../generate/types.ts";

/** Which text is looked at. */
export type Side = "prompt" | "answer";

/** Looks at what is asked and answered, and says by which rule it refuses. */
export interface Moderator {
  /** Characters of an answer that are looked at together as it comes. */
  readonly window: number;
  /** Characters before them that are looked at again, for what begins there. */
  readonly overlap: number;
  /** Characters at an answer's end that are kept back, for what might be going on. */
  readonly held: number;
  /** The rule that a text breaks; undefined where it breaks none. @throws GrokError where it cannot say */
  check(text: string, side: Side, signal: AbortSignal | undefined): Promise<string | undefined>;
  close(): Promise<void>;
}

/** Told of a refusal, before who asked is. */
export type OnRefused = (rule: string) => void;

/** @throws GrokError `refused` naming the rule, never the text */
export async function requireAllowed(
  moderators: readonly Moderator[],
  text: string,
  side: Side,
  signal: AbortSignal | undefined,
  onRefused: OnRefused,
): Promise<void> {
  for (const moderator of moderators) {
    const rule = await moderator.check(text, side, signal);
    if (rule === undefined) continue;
    onRefused(rule);
    throw new GrokError("refused", `the ${side} is refused by this server's rule ${rule}`, { rule });
  }
}

/** A generation that begins once its prompt is allowed, and gives of its answer what is. */
export function moderate(
  moderators: readonly Moderator[],
  prompt: string,
  signal: AbortSignal | undefined,
  onRefused: OnRefused,
  begin: () => Generation,
): Generation {
  const allow = (text: string, side: Side) => requireAllowed(moderators, text, side, signal, onRefused);
  const window = Math.min(...moderators.map((one) => one.window));
  const overlap = Math.max(...moderators.map((one) => one.overlap));
  const held = Math.max(...moderators.map((one) => one.held));
  const generation = startAfter(allow(prompt, "prompt"), begin);
  /** The whole answer, looked at once for all who await it. */
  let whole: Promise<GenerateResult> | undefined;
  const result = () => {
    whole ??= generation.result.then(async (given) => {
      await allow(given.text, "answer");
      return given;
    });
    // Who only iterates meets the error there.
    whole.catch(() => undefined);
    return whole;
  };

  async function* pieces(): AsyncGenerator<GenerateChunk, void, undefined> {
    let text = "";
    let checked = 0;
    let given = 0;
    const waiting: { readonly chunk: GenerateChunk; readonly end: number }[] = [];
    try {
      for await (const chunk of generation) {
        text += chunk.text;
        waiting.push({ chunk, end: text.length });
        if (text.length - checked < window) continue;
        await allow(text.slice(Math.max(0, checked - overlap)), "answer");
        checked = text.length;
        while (given < waiting.length && waiting[given]!.end <= checked - held) yield waiting[given++]!.chunk;
      }
      await result();
      while (given < waiting.length) yield waiting[given++]!.chunk;
    } finally {
      generation.cancel();
    }
  }

  return {
    get result() {
      return result();
    },
    cancel: generation.cancel,
    [Symbol.asyncIterator]: pieces,
  };
}
