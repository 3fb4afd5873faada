import type { Matrix, Ops } from "../kernels/ops.ts";
import type { Model } from "../model/model.ts";
import type { Logits } from "../sampling/logits.ts";
import { createKvMemory } from "./kv-memory.ts";
import { type Timeline, truncate } from "./pages.ts";
import type { Interrupt } from "./pass.ts";
import { commonPrefix } from "./prefix-tree.ts";
import type { Sequence } from "./run.ts";

/**
 * A smaller model of the same vocabulary, such as a copy in fewer bits that fits into memory: it says what the large one will probably say,
 * one token after another, and the large one verifies them in one pass. It has keys and values of its own.
 */
export interface DraftModel {
  /**
   * Has each sequence's next tokens drafted, one of each in a step, until nobody wants more.
   * @param goesOn asked before each step but the first
   * @throws GrokError `cancelled` once all runs are cancelled that it drafts for
   */
  draft(asked: readonly DraftRequest[], goesOn: () => boolean): Promise<DraftWork>;
  /** A sequence is over: what was computed of it stays for others that begin alike, as long as there is room. */
  leave(sequence: Sequence): void;
  close(): Promise<void>;
}

export interface DraftRequest {
  readonly run: number;
  readonly sequence: Sequence;
  /** Its root in a tree of prefixes. */
  readonly prefixes: string;
  /** Takes the logits [vocab] after the last token, good until it returns. The token that is drafted; undefined ends it. */
  take(row: Logits): number | undefined;
}

/** What drafting took, reading what the model had not seen of the sequences aside. */
export interface DraftWork {
  readonly steps: number;
  readonly seconds: number;
}

export interface DraftModelOptions {
  /** Tokens of a sequence, and those of all together. */
  readonly contextLength: number;
  readonly cacheTokens: number;
  readonly pageTokens: number;
  readonly batchTokens: number;
  readonly interrupt: Interrupt;
}

/** A sequence as far as it is computed. */
interface Line {
  readonly prefixes: string;
  readonly timeline: Timeline;
  /** What is in it, drafts with it. */
  tokens: number[];
}

/** Tokens that a step may take beside the last one of each sequence: those that the large model chose itself. */
const fewTokens = 16;

export function createDraftModel(ops: Ops, model: Model, options: DraftModelOptions): DraftModel {
  const { cacheTokens, pageTokens, batchTokens, interrupt } = options;
  const { vocab, contextLength: own } = model.config;
  const contextLength = Math.min(own, options.contextLength);
  const memory = createKvMemory(ops, model, { tokens: cacheTokens, pageTokens, type: ops.kvType });
  const { pool, prefixes } = memory;
  /** The longest unused first. */
  const lines = new Map<Sequence, Line>();

  let asked: ReadonlySet<Sequence> = new Set();
  /** Over while something was drafted for them. */
  const over = new Set<Sequence>();
  const leave = (sequence: Sequence) => {
    const line = lines.get(sequence);
    if (line === undefined) return;
    if (asked.has(sequence)) {
      over.add(sequence);
      return;
    }
    lines.delete(sequence);
    prefixes.keep(line.prefixes, line.tokens, line.timeline);
    truncate(pool, line.timeline, 0);
  };

  /** Room for so many more tokens of a line, if need be in place of sequences that nothing is drafted for now. */
  const reserve = (line: Line, count: number): boolean => {
    if (line.timeline.length + count > contextLength) return false;
    while (memory.extend(line.timeline, count) < count) {
      const other = [...lines.keys()].find((sequence) => !asked.has(sequence));
      if (other === undefined) return false;
      leave(other);
    }
    return true;
  };

  /** The line of a sequence, with what of it is still what the sequence says. */
  const resume = ({ sequence, prefixes: root }: DraftRequest): Line => {
    const { tokens } = sequence;
    const line = lines.get(sequence) ?? {
      ...{ prefixes: root, tokens: [], timeline: prefixes.find(root, tokens, tokens.length - 1) },
    };
    const known = line.tokens.length === 0 ? line.timeline.length : commonPrefix(line.tokens, tokens);
    truncate(pool, line.timeline, Math.min(known, tokens.length - 1));
    line.tokens = Array.from(tokens);
    lines.delete(sequence);
    lines.set(sequence, line);
    return line;
  };

  /** Computes `counts[i]` tokens of each line, and with `wanted` the rows after their last ones. */
  async function compute(some: readonly Line[], counts: readonly number[], wanted: boolean): Promise<Matrix> {
    const tokens: number[] = [];
    const positions: number[] = [];
    const outputs: number[] = [];
    const sequences = some.map(({ timeline, tokens: known }, i) => {
      const start = tokens.length;
      for (let at = timeline.length; at < timeline.length + counts[i]!; at++) {
        tokens.push(known[at]!);
        positions.push(at);
      }
      if (wanted) outputs.push(tokens.length - 1);
      return { start, count: counts[i]!, pages: Int32Array.from(timeline.pages) };
    });
    const batch = {
      ...{ tokens: Int32Array.from(tokens), positions: Int32Array.from(positions) },
      ...{ sequences, outputs: Int32Array.from(outputs) },
    };
    const logits = await model.forward(batch, memory.cache());
    for (const [i, { timeline }] of some.entries()) timeline.length += counts[i]!;
    return logits;
  }

  /** Computes a line up to its last few tokens. */
  async function catchUp(line: Line): Promise<boolean> {
    for (;;) {
      const pending = line.tokens.length - line.timeline.length;
      if (pending <= fewTokens) return true;
      const count = Math.min(pending - 1, batchTokens);
      if (!reserve(line, count)) return false;
      await compute([line], [count], false);
    }
  }

  return {
    async draft(requests, goesOn) {
      asked = new Set(requests.map(({ sequence }) => sequence));
      let steps = 0;
      let seconds = 0;
      interrupt.enter([...new Set(requests.map(({ run }) => run))]);
      try {
        let active: { readonly line: Line; readonly take: DraftRequest["take"] }[] = [];
        for (const request of requests) {
          const line = resume(request);
          if (await catchUp(line)) active.push({ line, take: request.take });
        }
        while (active.length > 0 && (steps === 0 || goesOn())) {
          const began = performance.now();
          const pending = ({ tokens, timeline }: Line) => tokens.length - timeline.length;
          active = active.filter(({ line }) => reserve(line, pending(line)));
          const some = active.map(({ line }) => line);
          if (some.length === 0) break;
          const rows = await ops.read(await compute(some, some.map(pending), true));
          active = active.filter(({ line, take }, i) => {
            const token = take(rows.subarray(i * vocab, (i + 1) * vocab));
            if (token !== undefined) line.tokens.push(token);
            return token !== undefined;
          });
          steps++;
          seconds += (performance.now() - began) / 1000;
        }
      } finally {
        interrupt.leave();
        asked = new Set();
        for (const sequence of over) leave(sequence);
        over.clear();
      }
      return { steps, seconds };
    },
    leave,
    async close() {
      lines.clear();
      await memory.close();
    },
  };
}
