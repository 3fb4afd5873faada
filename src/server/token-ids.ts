import { z } from "zod";
import { describeValue } from "../errors.ts";

const isId = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;

/** Ids of tokens, looked at as a whole: a schema that looks at each of 200,000 numbers holds everybody up while it does. */
export const tokenIdsFrom = (least: number) =>
  z
    .custom<number[]>((value) => Array.isArray(value) && value.length >= least && value.every(isId), {
      error: ({ input }) =>
        `${input === undefined ? "is missing" : `is ${describeValue(input)}`}, expected a list of token ids`,
    })
    .meta({ type: "array", items: { type: "integer", minimum: 0 }, minItems: least });

export const tokenIds = tokenIdsFrom(1);
