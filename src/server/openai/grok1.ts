import { z } from "zod";
import type { ExpertChoice } from "../../engine/request.ts";
import type { ChatOptions } from "../../generate/types.ts";

/** What a chat completion can be asked for that OpenAI has no field for: a request's and a choice's own field `grok1`. */
export const grok1Field = z
  .strictObject({
    experts: z.boolean().nullish(),
    fit: z.boolean().nullish(),
    adapters: z
      .array(z.strictObject({ name: z.string().min(1), scale: z.number().optional() }))
      .max(64)
      .nullish(),
  })
  .nullish();

type Experts = readonly (readonly ExpertChoice[])[] | undefined;

export interface Extension {
  readonly options: ChatOptions;
  /** The field of a choice that begins or is whole, with the experts of its tokens; nothing where there is nothing to say. */
  first(experts?: Experts): object;
  /** Of a piece of one that has begun. */
  piece(experts: Experts): object;
}

export function readExtension(field: z.infer<typeof grok1Field>): Extension {
  let leftOut = 0;
  const { experts, fit, adapters } = field ?? {};
  return {
    options: {
      ...(experts && { experts }),
      ...(adapters && {
        adapters: adapters.map(({ name, scale }) => ({ name, ...(scale !== undefined && { scale }) })),
      }),
      ...(fit && {
        fit,
        onNotice(notice) {
          if (notice.type === "left-out") leftOut = notice.messages;
        },
      }),
    },
    first: (given) => fieldOf({ ...(leftOut > 0 && { left_out: leftOut }), ...listed(given) }),
    piece: (given) => fieldOf(listed(given)),
  };
}

const fieldOf = (field: object) => (Object.keys(field).length === 0 ? {} : { grok1: field });

/** Of each token a list of its layers: the layer's number, the experts that it chose, and their factors to four digits. */
function listed(given: Experts) {
  const round = (weight: number) => Number(weight.toPrecision(4));
  const list = (choices: readonly ExpertChoice[]) =>
    choices.map(({ layer, experts, weights }) => [layer, experts, weights.map(round)]);
  return given === undefined ? {} : { experts: given.map(list) };
}
