import type { Explanation } from "../explain.ts";

/** Tokens that a page must show and never run or let loose. */
export const hostileTokens = [
  "</script><script>document.title = 'run'</script>",
  '"><img src=x onerror="document.title=\'run\'">',
  "' onmouseover='x",
  "{target}",
  "<!--",
  " $& \u202enoitcerid",
  "\n",
];

/** An explanation of a model of two layers, two heads and three experts whose every text is hostile. */
export function hostileExplanation(texts: readonly string[] = hostileTokens): Explanation {
  const named = texts.map((text, id) => ({ id, text }));
  const likely = named.map((token) => ({ ...token, probability: 0.5 }));
  const row = (length: number) => Array.from({ length }, () => 1 / length);
  const layer = {
    lens: { next: likely, target: { logprob: -1, rank: 2 }, each: likely },
    attention: [0, 1].map(() => texts.map((_, i) => row(i + 1))),
    experts: texts.map((_, i) => [{ expert: i % 3, weight: 0.75 }, { expert: (i + 1) % 3, weight: 0.25 }]), // biome-ignore format: one row
  };
  return {
    model: { path: texts[0]!, name: texts.at(-1), architecture: "grok", layers: 2, heads: 2, experts: 3, used: 2 },
    tokens: named.map((token, i) => ({ ...token, contribution: i - 2, error: 0.1, gradient: -i })),
    target: { ...named[0]!, logprob: -0.5 },
    shapley: {
      ...{ method: "sampled", pairs: 4, seed: 1, evaluations: 50, baseline: named.at(-1)!, unmasked: -0.5, masked: -9 },
    },
    noGradient: texts.at(-1)!,
    attentionRows: "all",
    layers: [layer, layer],
  };
}
