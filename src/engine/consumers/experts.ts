import type { ExpertChoice } from "../request.ts";
import type { Consumer } from "../run.ts";

const chosen = "ffn_moe_probs.chosen";
const weights = "ffn_moe_probs.weights";

/**
 * Sees which experts the layers of a pass choose for its last token, from which the next is drawn. Others, such as the rest of a
 * prompt, are passed over.
 */
export function createExpertWatch() {
  let seen: { readonly layer: number; readonly experts: readonly number[]; weights: readonly number[] }[] = [];
  const observe: NonNullable<Consumer["observe"]> = (layer, name, _, cols, values) => {
    if (name !== chosen && name !== weights) return;
    const last = Array.from({ length: cols }, (_, i) => values[values.length - cols + i]!);
    if (name === weights) seen.at(-1)!.weights = last;
    else {
      // A prompt takes several passes, of which the last counts.
      if (layer <= (seen.at(-1)?.layer ?? -1)) seen = [];
      seen.push({ layer, experts: last, weights: [] });
    }
  };
  return {
    observe,
    /** By layers; empty in a model without experts. */
    taken(): readonly ExpertChoice[] {
      const all = seen;
      seen = [];
      return all;
    },
  };
}
