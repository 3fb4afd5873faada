import { basename } from "node:path";
import { type Command, Option } from "commander";
import { writeAtomic } from "../../bytes/atomic-write.ts";
import { checkDestination } from "../../bytes/destination.ts";
import type { ExplainProgress, Explanation } from "../../explain/explain.ts";
import { type PromptOptions, readPrompt } from "../files.ts";
import { catchInterrupt } from "../interrupt.ts";
import { addModel, type ModelOptions, modelFiles, openModel, requireModel, warnOfModel } from "../open-model.ts";
import { addSettings, pick } from "../settings.ts";
import { createProgress, escapeLine, formatSeconds, jsonDocument, table } from "../terminal.ts";
import { integer, path, text } from "../values.ts";

interface ExplainCommandOptions extends ModelOptions, PromptOptions {
  readonly target?: string;
  readonly baseline?: string;
  readonly pairs?: number;
  readonly seed?: number;
  readonly top?: number;
  readonly special?: true;
  readonly html?: string;
  readonly json?: true;
}

export function addExplain(program: Command): void {
  const command = program
    .command("explain")
    .description("Why a model says what it says next: what each token contributes, and what each layer does.");
  addModel(command)
    .option("-p, --prompt <text>", "the text before; - reads it from standard input", text())
    .addOption(
      new Option("-f, --file <path>", "read the prompt from a file; one line break at its end is dropped")
        .argParser(path())
        .conflicts("prompt"),
    )
    .option("--target <token>", "the next token to explain, spaces included (default: the likeliest)", text())
    .option(
      "--baseline <token>",
      "what a masked token is replaced by (default: a space, where the vocabulary has one)",
      text(),
    )
    .option(
      "--pairs <n>",
      "sample n pairs of a masking and its opposite, at least 2 a token (default: 2048, which are all of up to 12 tokens)",
      integer(2, 1_000_000),
    )
    .option("--seed <n>", "of the pairs (default: 1)", integer(0))
    .option("--top <n>", "likeliest tokens that are told of each layer (default: 5)", integer(1, 100))
    .option("--special", "read control tokens such as <|im_start|> in the prompt as such")
    .option("--html <file>", "write a page too, to be opened in a browser: with attention of every head", path())
    .option("--json", "print one JSON document");
  addSettings(command, ["context", "backend", "threads", "isa", "kvType", "memory"]);
  command.action((_, options: ExplainCommandOptions) => run(options));
}

// What it takes of the training code is read once it is asked for. Not in a function that uses `using`: where TypeScript 6 rewrites such a
// one, it leaves the names of files that are imported there as they are in the source.
const loadExplain = () => import("../../explain/explain.ts");
const loadPage = () => import("../../explain/page/page.ts");

async function run(options: ExplainCommandOptions): Promise<void> {
  const file = requireModel(options);
  const { html } = options;
  if (html !== undefined) checkDestination(html, modelFiles(file), "the model itself");
  if (html !== undefined && options.file !== undefined) checkDestination(html, [options.file], "the prompt");
  const prompt = await readPrompt(options);
  using interrupt = catchInterrupt();
  await using model = await openModel(file, options);
  warnOfModel(model);
  const { explain } = await loadExplain();
  const { renderExplanation } = await loadPage();
  const progress = createProgress(process.stderr, process.env);
  try {
    const found = await explain(model, prompt, {
      ...pick(options, ["target", "baseline", "pairs", "seed", "top", "special"]),
      signal: interrupt.signal,
      onProgress: tell(progress.show),
    });
    if (html !== undefined) await writeAtomic(html, [Buffer.from(renderExplanation(found))]);
    progress.clear();
    process.stdout.write(options.json ? `${compactNumbers(jsonDocument(roundAttention(found)))}\n` : render(found));
  } finally {
    progress.clear();
  }
}

function tell(show: (line: string) => void): (progress: ExplainProgress) => void {
  let began: number | undefined;
  return ({ stage, done, of }) => {
    began ??= stage === "masks" ? performance.now() : undefined;
    if (began === undefined) return show(stage === "layers" ? "looking at each layer" : "walking back");
    const left = ((performance.now() - began) / 1000 / done) * (of - done);
    show(`masked inputs: ${Math.round((100 * done) / of)} %  ${formatSeconds(left)} left`);
  };
}

const roundAttention = (found: Explanation): Explanation => ({
  ...found,
  layers: found.layers.map((layer) => ({
    ...layer,
    attention: layer.attention.map((head) => head.map((row) => row.map((share) => Number(share.toPrecision(5))))),
  })),
});

/** A list of numbers on one line: attention has hundreds of thousands. No string of a document has a line feed. */
const compactNumbers = (json: string): string =>
  json.replace(/\[\n\s+([-+.\de]+(?:,\s+[-+.\de]+)*)\s+\]/g, (_, numbers: string) => {
    return `[${numbers.replace(/\s+/g, " ")}]`;
  });

const quote = (token: { readonly text: string }): string => escapeLine(JSON.stringify(token.text));
const percent = (share: number): string => `${(100 * share).toFixed(share < 0.0995 ? 2 : 1)} %`;
const signed = (value: number): string => `${value < 0 ? "-" : "+"}${Math.abs(value).toFixed(3)}`;

function render(found: Explanation): string {
  const { model, target, tokens, shapley, layers, noGradient } = found;
  const { method, evaluations, baseline, masked, unmasked } = shapley;
  const last = layers.at(-1)!;
  const how = method === "exact" ? `exact, over all ${evaluations} maskings` : `estimated from ${evaluations} maskings`;
  return `${escapeLine(model.name ?? basename(model.path))}: next ${quote(target)}, probability ${percent(Math.exp(target.logprob))}
likeliest: ${last.lens.next.map((token) => `${quote(token)} ${percent(token.probability)}`).join("  ")}

What each token contributes to log p(${quote(target)}), ${how}:
${renderTokens(found)}
log p is ${unmasked.toFixed(3)}, and ${masked.toFixed(3)} where every token is ${quote(baseline)}
${noGradient === undefined ? "" : `no gradient: ${escapeLine(noGradient)}\n`}
What each layer would say next:
${renderLayers(found)}${tokens.length > 1 ? "\nattention: of the last token, mean over all layers and heads. --html and --json have the maps\n" : ""}`;
}

const barWidth = 20;

function renderTokens({ tokens, shapley, layers }: Explanation): string {
  const most = Math.max(...tokens.map(({ contribution }) => Math.abs(contribution)), Number.MIN_VALUE);
  const exact = shapley.method === "exact";
  const gradients = tokens.some(({ gradient }) => gradient !== undefined);
  const maps = layers.flatMap(({ attention }) => attention.map((head) => head.at(-1)!));
  const sum = tokens.reduce((total, { contribution }) => total + contribution, 0);
  const cells = (name: string, contribution: number, error: number, others: readonly string[]) => [
    ...[name, signed(contribution), ...(exact ? [] : [error > 0 ? `± ${error.toFixed(3)}` : ""])],
    ...others,
  ];
  const rows = tokens.map((token, i) => {
    const { contribution, error, gradient } = token;
    const attended = maps.reduce((total, row) => total + row[i]!, 0) / maps.length;
    const length = Math.round((barWidth * Math.abs(contribution)) / most);
    return cells(quote(token), contribution, error, [
      ...(gradients ? [signed(gradient ?? 0)] : []),
      percent(attended),
      (contribution < 0 ? "-" : "+").repeat(length),
    ]);
  });
  const head = ["token", "contribution", ...(exact ? [] : ["error"]), ...(gradients ? ["gradient x input"] : [])];
  const all = [[...head, "attention"], ...rows, cells("sum", sum, 0, [])];
  return table(
    all,
    Array.from({ length: head.length }, (_, i) => i + 1),
  );
}

function renderLayers({ layers, target }: Explanation): string {
  const experts = layers.some((layer) => layer.experts !== undefined);
  const rows = layers.map(({ lens, experts: chosen }, i) => [
    ...[String(i), quote(lens.next[0]!), percent(lens.next[0]!.probability)],
    ...[percent(Math.exp(lens.target.logprob)), String(lens.target.rank + 1)],
    ...(chosen
      ? [
          chosen
            .at(-1)!
            .map(({ expert, weight }) => `${expert} (${weight.toFixed(2)})`)
            .join("  "),
        ]
      : []),
  ]);
  const head = ["layer", "likeliest", "its p", `p of ${quote(target)}`, "rank", ...(experts ? ["experts"] : [])];
  return table([head, ...rows], [0, 2, 3, 4]);
}
