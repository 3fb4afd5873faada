import type { GrokError } from "../errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** In place of a tokenizer that a model's file lacks: the model takes and gives ids, and whatever is asked about text is told why not. */
export function absentTokenizer(why: GrokError): Tokenizer {
  const fail = (): never => {
    throw why;
  };
  return {
    ...{ kind: "none", vocabSize: 0, endOfGeneration: new Set<number>(), addBos: false, addEos: false },
    info: {
      ...{ kind: "none", vocabSize: 0, duplicates: 0 },
      counts: { normal: 0, control: 0, userDefined: 0, byte: 0, unused: 0 },
    },
    ...{ encode: fail, encodeSteps: fail, decode: fail, decoder: fail, bytes: fail, piece: fail, idOf: fail },
  };
}
