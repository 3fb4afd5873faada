import { closeSync, openSync, writeSync } from "node:fs";
import { ioError } from "../bytes/io-error.ts";
import type { Ops, Routing } from "../kernels/ops.ts";
import { encodeTraceHead, encodeTracePass, type TraceHead } from "../memory/trace.ts";

/** Operations that record which experts a model's layers ask for, and what was foretold of them, to a file as they go. */
export interface RecordedOps {
  readonly ops: Ops;
  close(): void;
}

/** @throws GrokError `io` */
export function recordRouting(base: Ops, path: string, head: TraceHead): RecordedOps {
  const attempt = <T>(what: string, act: () => T): T => {
    try {
      return act();
    } catch (error) {
      throw ioError(what, path, error);
    }
  };
  const file = attempt("create", () => openSync(path, "w"));
  const write = (text: string) => attempt("write", () => writeSync(file, text));
  write(encodeTraceHead(head));
  let tokens = 0;
  let prompt = false;
  let asked: number[][] = [];
  let foretold: number[][] = [];

  /** A pass that is left in the middle asks for less than a model does, and is not written. */
  const forget = () => {
    asked = [];
    foretold = [];
  };
  const writeWhole = () => {
    if (asked.length < head.layers) return;
    write(encodeTracePass({ tokens, prompt, asked, foretold: asked.map((_, layer) => foretold[layer] ?? []) }));
    forget();
  };
  const expertsOf = ({ chosen }: Routing): number[] => {
    const counts = new Map<number, number>();
    // Of a backend that records, reading is looking at memory.
    for (const expert of base.read(chosen) as Float32Array) counts.set(expert, (counts.get(expert) ?? 0) + 1);
    return [...counts].sort(([, a], [, b]) => b - a).map(([expert]) => expert);
  };

  return {
    ops: {
      ...base,
      begin(batch) {
        forget();
        tokens = batch.tokens.length;
        prompt = batch.outputs.length < tokens;
        base.begin(batch);
      },
      // What is foretold is a part of what is recorded.
      expecting() {
        base.expecting?.();
        return true;
      },
      expect(routing, stacks) {
        foretold[asked.length + 1] = expertsOf(routing);
        base.expect?.(routing, stacks);
      },
      experts(name, x, routing, ...rest) {
        asked.push(expertsOf(routing));
        writeWhole();
        return base.experts(name, x, routing, ...rest);
      },
    },
    close: () => closeSync(file),
  };
}

/** Operations that count which experts a model's layers choose, for each token that passes through them. */
export interface CountedOps {
  readonly ops: Ops;
  /** How often each layer has chosen each expert; without layers where there are no experts. */
  counts(): readonly (readonly number[])[];
}

export function countRouting(base: Ops): CountedOps {
  const counts: number[][] = [];
  let layer = 0;
  return {
    ops: {
      ...base,
      begin(batch) {
        layer = 0;
        base.begin(batch);
      },
      experts(name, x, routing, ...rest) {
        counts[layer] ??= Array<number>(routing.probabilities.cols).fill(0);
        const of = counts[layer++]!;
        for (const expert of base.read(routing.chosen) as Float32Array) of[expert]!++;
        return base.experts(name, x, routing, ...rest);
      },
    },
    counts: () => counts,
  };
}
