import { parentPort } from "node:worker_threads";
import { errorToData } from "../engine/thread/protocol.ts";
import { compileGrammar } from "../grammar/compile.ts";
import { packRules } from "../grammar/prepared.ts";
import type { GrammarAnswer } from "./grammars.ts";

/** The thread that makes rules of grammars. */
const port = parentPort!;
const post = (answer: GrammarAnswer) => port.postMessage(answer);

port.on("message", (source: string) => {
  try {
    post({ rules: packRules(compileGrammar(JSON.parse(source))) });
  } catch (error) {
    post({ error: errorToData(error) });
  }
});
