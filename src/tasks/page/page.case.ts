import type { PartResult, TaskResult } from "../prepared.ts";
import type { TaskReport } from "./page.ts";

/** What a page must show and never run or let loose. */
export const hostileTexts = [
  "</script><script>document.title = 'run'</script>",
  '"><img src=x onerror="document.title=\'run\'">',
  "' onmouseover='x",
  "{task} $& \u202enoitcerid",
] as const;

const share = (value: number, half: number) => ({ value, error: half / 1.96, interval: [value - half, value + half] as const }); // biome-ignore format: one row

/** An evaluation of two tasks beside another run, whose every text is hostile. */
export function hostileReport(): TaskReport {
  const [first, second, third, fourth] = hostileTexts;
  const part = (value: number): PartResult => ({
    ...{ questions: 20, metrics: { acc: share(value, 0.2) }, doubts: [{ metric: "acc", why: "few" }] },
  });
  const common = {
    like: undefined,
    about: second,
    key: "ab".repeat(32),
    shots: 0,
    chat: false,
    available: 400,
    truncated: 0,
  };
  const retained = { value: 0.9, low: 0.82, high: 0.98 };
  const paired = { questions: 200, other: 0.7, difference: -0.07, error: 0.02, retained };
  const results: TaskResult[] = [
    {
      ...{ ...common, task: first, questions: 200, guessing: 0.25, truncated: 3, limited: 7, samples: 2 },
      metrics: { acc: share(0.63, 0.07), [third]: share(0.28, 0.06) },
      doubts: [{ metric: third, why: "chance" }],
      parts: { [third]: { ...part(0.6), members: [fourth] }, [fourth]: part(0.7) },
      paired: {
        acc: { ...paired, changed: { gained: 2, lost: 16, p: 0.0013 }, noise: false },
        [third]: { ...paired, difference: 0.01, changed: { gained: 5, lost: 3, p: 0.73 }, noise: true },
      },
      pairedParts: { [fourth]: { acc: { ...paired, noise: false } } },
    },
    {
      ...{ ...common, task: fourth, questions: 1, guessing: undefined },
      metrics: {
        perplexity: { value: 23.4, error: Number.NaN, interval: [Number.NaN, Number.NaN] },
        mcc: share(-0.05, 0.1),
      },
      doubts: [],
      paired: { perplexity: { questions: 1, other: 20, difference: 3.4, error: Number.NaN, noise: true } },
    },
  ];
  const info = {
    ...{ backend: "native", fallbackReason: undefined, threads: 2, isa: "avx2", contextLength: 2048, vocab: 9 },
    ...{ kvType: "f16" as const, kvBytes: 1, adapters: [{ name: first, scale: 1 }], adapterPaths: [first] },
    ...{ loadSeconds: 0, expertBytes: undefined },
  };
  const description = {
    ...{ path: first, architecture: second, runs: true, name: third, tensors: 1, parameters: 2e6, parametersUsed: 2e6 },
    ...{ bytes: 1e6, bytesPerToken: 1e6, types: [{ type: fourth, tensors: 1, parameters: 2e6 }] },
  };
  return { model: { path: first, description, info }, results, seconds: 90, version: first, against: second };
}
