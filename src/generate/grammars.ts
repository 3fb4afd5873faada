import { Worker } from "node:worker_threads";
import { programFile } from "../engine/thread/program.ts";
import { type ErrorData, errorFromData } from "../engine/thread/protocol.ts";
import { GrokError } from "../errors.ts";
import { aboutGrammar } from "../grammar/about-grammar.ts";
import type { Grammar } from "../grammar/grammar.ts";
import type { PreparedGrammar } from "../grammar/prepared.ts";
import { createTokenTrie, type TokenTrie } from "../grammar/token-trie.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** From the thread that makes rules of grammars, which is sent these as JSON. */
export type GrammarAnswer = { readonly rules: Uint8Array } | { readonly error: ErrorData };

/** Makes grammars ready for a model's engine. */
export interface GrammarCompiler {
  /** @throws GrokError `argument` for what is wrong with it, `unsupported` for what cannot be held to or takes too long */
  prepare(grammar: Grammar): Promise<PreparedGrammar>;
  close(): Promise<void>;
}

/** Characters of a grammar as JSON, and seconds until it is given up. */
const longest = 2 ** 19;
const mostSeconds = 10;
/** What the thread may take for itself; and how many results, of so many bytes together, are kept. */
const mostMegabytes = 256;
const mostKept = 64;
const mostKeptBytes = 2 ** 24;

/**
 * Grammars come from whoever asks: rules are made of them on a thread of their own, which holds nobody up and can be ended where it takes
 * too long. It is started when it is first needed.
 */
export function createGrammarCompiler(tokenizer: Tokenizer): GrammarCompiler {
  const kept = new Map<string, { readonly key: number; readonly rules: Uint8Array }>();
  let trie: Promise<TokenTrie> | undefined;
  let worker: Worker | undefined;
  let lastKey = 0;
  /** One after the other: who takes long fails alone. */
  let turn: Promise<unknown> = Promise.resolve();

  function start(): Worker {
    const program = programFile(import.meta.url, "generate/grammars", "generate/grammar-worker.js");
    const started = new Worker(program, {
      ...{ execArgv: [], env: {}, resourceLimits: { maxOldGenerationSizeMb: mostMegabytes } },
    });
    started.on("exit", () => {
      if (worker === started) worker = undefined;
    });
    return started;
  }

  async function compile(source: string): Promise<Uint8Array> {
    worker ??= start();
    const used = worker;
    used.ref();
    let timer: NodeJS.Timeout | undefined;
    let gone: (error: unknown) => void = () => undefined;
    try {
      return await new Promise<Uint8Array>((resolve, reject) => {
        gone = (error) =>
          reject(error instanceof Error ? failureOf(error) : new GrokError("cancelled", "the model was closed"));
        const giveUp = () => {
          worker = undefined;
          void used.terminate();
          reject(new GrokError("unsupported", `the grammar takes more than ${mostSeconds} seconds to read`));
        };
        timer = setTimeout(giveUp, mostSeconds * 1000);
        used.once("message", (answer: GrammarAnswer) => {
          if ("error" in answer) reject(errorFromData(answer.error));
          else resolve(answer.rules);
        });
        used.once("exit", gone).once("error", gone);
        used.postMessage(source);
      });
    } finally {
      clearTimeout(timer);
      used.removeAllListeners("message").off("exit", gone).off("error", gone).unref();
    }
  }

  async function rulesOf(source: string) {
    const before = kept.get(source);
    if (before !== undefined) return before;
    const made = { key: ++lastKey, rules: await compile(source) };
    kept.set(source, made);
    let bytes = 0;
    for (const { rules } of kept.values()) bytes += rules.length;
    for (const [oldest, { rules }] of kept) {
      if (kept.size <= mostKept && bytes <= mostKeptBytes) break;
      kept.delete(oldest);
      bytes -= rules.length;
    }
    return made;
  }

  return {
    async prepare(grammar) {
      const source = toJson(grammar);
      const making = turn.then(() => rulesOf(source));
      turn = making.catch(() => undefined);
      const made = await making.catch(aboutGrammar);
      trie ??= createTokenTrie(tokenizer);
      return { ...made, trie: await trie };
    },
    async close() {
      await worker?.terminate();
    },
  };
}

function failureOf(error: Error): GrokError {
  const isLarge = (error as NodeJS.ErrnoException).code === "ERR_WORKER_OUT_OF_MEMORY";
  const message = isLarge ? "the grammar takes too much memory" : `the grammars' thread failed: ${error.message}`;
  return new GrokError(isLarge ? "unsupported" : "internal", message, {}, error);
}

function toJson(grammar: Grammar): string {
  let source: string | undefined;
  try {
    source = JSON.stringify(grammar);
  } catch (error) {
    throw new GrokError("argument", `grammar cannot be written as JSON: ${(error as Error).message}`, {}, error);
  }
  if (source.length <= longest) return source;
  throw new GrokError("unsupported", `the grammar has ${source.length} characters, at most ${longest} are read`);
}
