import { GrokError } from "../../errors.ts";
import { startAfter } from "../../generate/generation.ts";
import type { GenerateChunk, GenerateResult, Generation } from "../../generate/types.ts";

/** Which text is looked at. */
export type Side = "prompt" | "answer";

/** For whom a text is looked at. */
export interface Asker {
  readonly signal?: AbortSignal | undefined;
  /** Who may learn, by how long it takes, that a text begins like an earlier one: those of the same group. */
  readonly prefixGroup?: string | undefined;
}

/** Looks at what is asked and answered, and says by which rule it refuses. */
export interface Moderator {
  /** Characters of an answer that are looked at together as it comes. */
  readonly window: number;
  /** Characters before them that are looked at again, for what begins there. */
  readonly overlap: number;
  /** Characters at an answer's end that are kept back, for what might be going on. */
  readonly held: number;
  /** The rule that a text breaks; undefined where it breaks none. @throws GrokError where it cannot say */
  check(text: string, side: Side, asker?: Asker): Promise<string | undefined>;
  close(): Promise<void>;
}

/** Told of a refusal, before who asked is. */
export type OnRefused = (rule: string) => void;

/** Names the rule, never the text. */
export const refusal = (side: Side, rule: string) =>
  new GrokError("refused", `the ${side} is refused by this server's rule ${rule}`, { rule });

const refused = new WeakMap<GenerateResult, string>();

/** The rule by which an answer is refused: what is left of it has no text. Undefined where it is allowed. */
export const refusedBy = (result: GenerateResult): string | undefined => refused.get(result);

/** The first rule that a text breaks. */
async function findRule(
  moderators: readonly Moderator[],
  text: string,
  side: Side,
  asker: Asker,
  onRefused: OnRefused,
): Promise<string | undefined> {
  for (const moderator of moderators) {
    const rule = await moderator.check(text, side, asker);
    if (rule === undefined) continue;
    onRefused(rule);
    return rule;
  }
  return undefined;
}

/**
 * A generation that begins once its prompt is allowed, and gives of its answer what is: of one that is refused, nothing but that.
 * Its result throws GrokError `refused` for the prompt.
 */
export function moderate(
  moderators: readonly Moderator[],
  prompt: string,
  asker: Asker,
  onRefused: OnRefused,
  begin: () => Generation,
): Generation {
  const ruleOf = (text: string, side: Side) => findRule(moderators, text, side, asker, onRefused);
  const allowPrompt = async () => {
    const rule = await ruleOf(prompt, "prompt");
    if (rule !== undefined) throw refusal("prompt", rule);
  };
  const window = Math.min(...moderators.map((one) => one.window));
  const overlap = Math.max(...moderators.map((one) => one.overlap));
  const held = Math.max(...moderators.map((one) => one.held));
  const generation = startAfter(allowPrompt(), begin);
  /** By which its answer is refused. */
  let broken: string | undefined;
  /** The whole answer, looked at once for all who await it. */
  let whole: Promise<GenerateResult> | undefined;
  const result = () => {
    whole ??= generation.result.then(async (given) => {
      broken ??= await ruleOf(given.text, "answer");
      return broken === undefined ? given : withoutText(given, broken);
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
        broken = await ruleOf(text.slice(Math.max(0, checked - overlap)), "answer");
        if (broken !== undefined) return;
        checked = text.length;
        while (given < waiting.length && waiting[given]!.end <= checked - held) yield waiting[given++]!.chunk;
      }
      await result();
      if (broken !== undefined) return;
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

function withoutText(given: GenerateResult, rule: string): GenerateResult {
  const { message, parts: _, logprobs: __, endLogprobs: ___, experts: ____, ...rest } = given;
  const empty = { ...rest, text: "", tokens: [], ...(message && { message: { text: "", reasoning: "", calls: [] } }) };
  refused.set(empty, rule);
  return empty;
}
