import { closeSync, openSync, writeSync } from "node:fs";
import { ioError } from "../bytes/io-error.ts";
import type { Ops, Routing } from "../kernels/ops.ts";
import { encodeTraceHead, encodeTracePass, type TraceHead } from "../memory/trace.ts";

/** Operations that record which experts a model's layers ask for, and what was foretold of them, to a file as they go. */
export interface RecordedOps {
  readonly ops: Ops;
  /** Writes what the last pass asked for, and ends the file. */
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
  let asked: number[][] = [];
  let foretold: number[][] = [];

  const flush = () => {
    // A pass that was left in the middle asked for less than a model does.
    if (asked.length === head.layers) {
      write(
        encodeTracePass({ tokens, asked, foretold: Array.from({ length: head.layers }, (_, i) => foretold[i] ?? []) }),
      );
    }
    asked = [];
    foretold = [];
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
        flush();
        tokens = batch.tokens.length;
        base.begin(batch);
      },
      expect(routing, stacks) {
        foretold[asked.length + 1] = expertsOf(routing);
        base.expect?.(routing, stacks);
      },
      experts(name, x, routing, ...rest) {
        asked.push(expertsOf(routing));
        return base.experts(name, x, routing, ...rest);
      },
    },
    close() {
      flush();
      closeSync(file);
    },
  };
}
