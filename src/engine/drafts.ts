import { createUnions, type Unions } from "../memory/unions.ts";
import type { Logits } from "../sampling/logits.ts";
import { logSumExp } from "../sampling/logprobs.ts";
import { createUnionCosts } from "./costs.ts";
import type { DraftModel, DraftRequest } from "./draft-model.ts";
import { confidenceChances, confidenceKind, type DraftSource, matchKind, noDraft } from "./draft-source.ts";
import type { ExpertStatus } from "./expert-status.ts";
import type { KvMemory } from "./kv-memory.ts";
import { createOdds } from "./odds.ts";
import type { Place } from "./pass.ts";
import type { Sequence } from "./run.ts";
import { createSpeculation, mostDraftTokens, mostSpeculating, type SpeculationOptions } from "./speculation.ts";

/** Puts drafts into passes, and learns from what became of them. */
export interface Drafting {
  /**
   * The same places, some with a draft. Only passes of few sequences that all decode get any.
   * @throws GrokError `cancelled` once all runs are cancelled that it is for
   */
  addDrafts(places: readonly Place[], batchTokens: number): Promise<readonly Place[]>;
  /** How many tokens of a place's draft were right, and what the model chose first. */
  learn(place: Place, first: number | undefined, right: number): void;
  /** What a pass took, and how many tokens it gave. */
  passed(places: readonly Place[], tokens: number, seconds: number): void;
  /** A sequence is over. */
  leave(sequence: Sequence): void;
  close(): Promise<void>;
}

/** A mixture whose experts are read as they are needed. */
export interface StreamedExperts {
  /** Of a layer, and those that a token uses. */
  readonly experts: number;
  readonly used: number;
  status(): Pick<ExpertStatus, "asked" | "repeated">;
}

export interface DraftingParts {
  /** Absent: drafts come from the text's own past alone. */
  readonly model?: DraftModel | undefined;
  /** Absent: all weights are in memory, and time is measured. */
  readonly streamed?: StreamedExperts | undefined;
}

export function createDrafting(memory: KvMemory, options: SpeculationOptions, parts: DraftingParts = {}): Drafting {
  const { model, streamed } = parts;
  const unions = streamed && createUnions(streamed);
  const speculation = createSpeculation(options, unions && createUnionCosts(unions), model && modelCredit);
  const watch = streamed && watchUnions(streamed, unions!);
  const { draftTokens = mostDraftTokens } = options;
  /** How often a model's tokens are right, by how sure it is of them: that is so in whatever text. */
  const sureness = createOdds(confidenceChances);
  let work = { steps: 0, seconds: 0 };
  const decodes = (places: readonly Place[]) =>
    places.length <= mostSpeculating &&
    places.every(({ run, count, rows }) => count === 1 && rows === 1 && run.consumer.kind === "sample");

  /** What follows from a text's past: the chance that each token, and all before it, is right. */
  function lookUp(drafts: DraftSource, { tokens }: Sequence, most: number): number[] {
    drafts.lookup.update(tokens);
    const { tokens: guessed, match } = drafts.lookup.guess(most);
    const kind = matchKind(match);
    drafts.looked = { tokens: guessed, kinds: guessed.map(() => kind) };
    const chance = drafts.matches.of(kind);
    return guessed.map((_, i) => chance ** (i + 1));
  }

  /** Has the model draft where it knows more than the past does; `likely` is what its tokens are worth then. */
  async function draftAhead(places: readonly Place[], likely: number[][], mosts: readonly number[], mostRows: number) {
    const chances = places.map(({ run }) => run.drafts?.modelled.of(0) ?? 0);
    const asks = places.map(({ run: { drafts } }, i) => {
      return drafts?.rehearse !== undefined && mosts[i]! > 0 && (likely[i]![0] ?? 0) < chances[i]!;
    });
    const guesses = likely.map((past, i) => (asks[i] ? [] : past));
    const hopes = () => chances.map((chance, i) => ({ chance, most: asks[i] ? mosts[i]! - guesses[i]!.length : 0 }));
    if (!speculation.goesOn(guesses, hopes(), 0, mostRows)) {
      for (const [i, { run }] of places.entries()) if (asks[i]) run.drafts!.modelled.rest();
      return;
    }
    const requests = places.flatMap(({ run, sequence }, i): DraftRequest[] => {
      if (!asks[i]) return [];
      const drafts = run.drafts!;
      const next = drafts.rehearse!();
      const tokens: number[] = [];
      const kinds: number[] = [];
      drafts.drafted = { tokens, kinds };
      const take = (row: Logits): number | undefined => {
        const token = tokens.length < mosts[i]! ? attempt(() => next(row)) : undefined;
        asks[i] = token !== undefined;
        if (token === undefined) return undefined;
        const kind = confidenceKind(Math.exp(row[token]! - logSumExp(row)));
        guesses[i]!.push((guesses[i]!.at(-1) ?? 1) * sureness.of(kind));
        kinds.push(kind);
        tokens.push(token);
        return token;
      };
      return [{ run: run.id, sequence, prefixes: run.prefixes ?? "", take }];
    });
    let steps = 0;
    work = await model!.draft(requests, () => speculation.goesOn(guesses, hopes(), ++steps, mostRows));
    for (const [i, { run }] of places.entries()) if (run.drafts?.drafted.tokens.length) likely[i] = guesses[i]!;
  }

  return {
    async addDrafts(places, batchTokens) {
      watch?.begin();
      work = { steps: 0, seconds: 0 };
      if (!decodes(places)) return places;
      // The token after the draft counts too.
      const mosts = places.map(({ run: { drafts } }) => (drafts ? Math.min(draftTokens, drafts.left() - 1) : 0));
      const likely = places.map(({ run: { drafts }, sequence }, i) => {
        return drafts === undefined ? [] : lookUp(drafts, sequence, mosts[i]!);
      });
      if (model !== undefined) await draftAhead(places, likely, mosts, batchTokens);
      // Most steps of most texts: nothing to think about.
      if (likely.every(({ length }) => length === 0)) return places;
      const counts = speculation.choose(likely, batchTokens);
      return places.map((place, i) => {
        if (counts[i] === 0) return place;
        // Others' memory is not taken for a guess: it gets what is free.
        const granted = memory.extend(place.sequence.timeline, 1 + counts[i]!) - 1;
        return { ...place, draft: draftOf(place.run.drafts!).tokens.slice(0, granted) };
      });
    },
    learn({ run: { drafts }, draft }, first, right) {
      if (drafts === undefined) return;
      const { looked, drafted } = drafts;
      const verified = draftOf(drafts);
      drafts.looked = noDraft;
      drafts.drafted = noDraft;
      drafts.verified += draft.length;
      drafts.accepted += right;
      // Guesses that were not verified are judged all the same by the token that came: learning costs nothing.
      const judge = ({ tokens, kinds }: typeof looked, add: (kind: number, right: boolean) => void) => {
        const seen = tokens === verified.tokens && draft.length > 0 ? Math.min(draft.length, right + 1) : 1;
        if (first === undefined || tokens.length === 0) return;
        for (let i = 0; i < seen; i++) add(kinds[i]!, i === 0 ? tokens[0] === first : i < right);
      };
      judge(looked, drafts.matches.add);
      judge(drafted, (kind, isRight) => {
        drafts.modelled.add(0, isRight);
        sureness.add(kind, isRight);
      });
    },
    passed(places, tokens, seconds) {
      watch?.passed(places);
      if (!decodes(places)) return;
      const rows = places.reduce((sum, { draft }) => sum + 1 + draft.length, 0);
      const drafting = { draftSteps: work.steps, draftSeconds: work.seconds };
      speculation.passed({ rows, sequences: places.length, tokens, seconds, ...drafting });
    },
    leave(sequence) {
      model?.leave(sequence);
    },
    async close() {
      await model?.close();
    },
  };
}

/** Whoever names a model to draft has it tried, in passes of one row: a few tokens are of less use than many where experts are read. */
const modelCredit = 8;

/** What of a run's guesses is verified. */
const draftOf = ({ looked, drafted }: DraftSource) => (drafted.tokens.length > 0 ? drafted : looked);

/** A draft that goes wrong fails nobody: whoever is to follow it finds out what is wrong. */
function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

/** Learns from each pass how many experts its rows asked for together, and from two of one row each, what those asked for. */
function watchUnions({ used, status }: StreamedExperts, unions: Unions) {
  let before = status();
  let layers = 0;
  let alone: Place["sequence"] | undefined;
  let whole = true;
  return {
    begin() {
      // A pass that was left in the middle has asked for some, too.
      if (!whole) alone = undefined;
      whole = false;
      before = status();
    },
    passed(places: readonly Place[]) {
      whole = true;
      const now = status();
      const asked = now.asked - before.asked;
      const rows = places.reduce((sum, { count, draft }) => sum + count + draft.length, 0);
      const sequence = rows === 1 ? places[0]!.sequence : undefined;
      if (rows === 1) layers = asked / used;
      if (sequence !== undefined && sequence === alone) {
        unions.add(2, 2 * used - (now.repeated - before.repeated) / layers);
      } else if (rows > 1 && rows <= mostRows && layers > 0) {
        unions.add(rows, asked / layers);
      }
      alone = sequence;
    },
  };
}

/** More rows, such as a prompt's, ask for all. */
const mostRows = mostDraftTokens + 1;
