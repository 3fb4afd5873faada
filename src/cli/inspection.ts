import { formatBytes } from "../errors.ts";
import type { ModelDescription } from "../model/describe.ts";
import type { Inspection, MetadataValue, TokenizerSummary } from "../model/inspect.ts";
import { bold, escapeLine, escapeUnseen, formatCount, table } from "./terminal.ts";

/** Longest metadata text that is shown to people. */
const shownCharacters = 160;

export function renderInspection(inspection: Inspection, color: boolean): string {
  const { path, format, files, bytes, model, tokenizer, tensors } = inspection;
  const head = (title: string) => `\n${bold(title, color)}\n`;
  const parts = [
    `${escapeLine(path)}: ${format}, ${formatBytes(bytes)}${files.length > 1 ? ` in ${files.length} files` : ""}\n`,
  ];
  for (const problem of inspection.problems) parts.push(`note: ${escapeLine(problem)}\n`);
  if (model) parts.push(head("Model"), table(modelRows(model)), head("Types"), typeTable(model));
  if (tokenizer) parts.push(head("Tokenizer"), table(tokenizerRows(tokenizer)));
  const entries = Object.entries(inspection.metadata);
  parts.push(head(`Metadata (${entries.length})`));
  parts.push(table(entries.map(([key, value]) => [escapeLine(key), showValue(value)])));
  parts.push(head(`Tensors (${tensors.length})`));
  parts.push(
    table(
      tensors.map(({ name, type, shape, bytes: size }) => [
        escapeLine(name),
        type,
        `[${shape.join(", ")}]`,
        size === undefined ? "size not known" : formatBytes(size),
      ]),
      [3],
    ),
  );
  return parts.join("");
}

function modelRows(model: ModelDescription): string[][] {
  const { config } = model;
  const rows = [
    ["architecture", `${escapeLine(model.architecture)}${model.runs ? "" : " (grok1 does not run it)"}`],
    ["name", escapeLine(model.name ?? "")],
    ["parameters", formatCount(model.parameters)],
    ["used per token", `${formatCount(model.parametersUsed)} (${formatBytes(model.bytesPerToken)} of weights)`],
  ];
  if (config) {
    rows.push(
      ["layers, width", `${config.layers}, ${config.width}`],
      ["heads", `${config.heads} of ${config.headSize}, ${config.kvHeads} for keys and values`],
      ["experts", config.experts > 0 ? `${config.experts} of ${config.expertHidden}, ${config.used} used` : ""],
      ["feed-forward", config.hidden > 0 ? String(config.hidden) : ""],
      ["vocabulary", String(config.vocab)],
      ["context", `${config.contextLength} tokens`],
    );
  }
  for (const [type, size] of Object.entries(model.kvBytesPerToken ?? {})) {
    if (type === "f16") rows.push(["cache per token", `${formatBytes(size)} as ${type}`]);
  }
  return rows.filter(([, value]) => value !== "");
}

function typeTable({ types, bytes: all }: ModelDescription): string {
  return table(
    types.map(({ type, tensors, parameters, bytes }) => [
      escapeLine(type),
      `${tensors} ${tensors === 1 ? "tensor" : "tensors"}`,
      formatCount(parameters),
      bytes === undefined ? "size not known" : formatBytes(bytes),
      bytes === undefined || all === 0 ? "" : `${((100 * bytes) / all).toFixed(1)} %`,
    ]),
    [1, 2, 3, 4],
  );
}

function tokenizerRows(tokenizer: TokenizerSummary): string[][] {
  return [
    ["kind", tokenizer.kind],
    ["vocabulary", `${tokenizer.vocabSize}`],
    ["pre-tokenizer", escapeLine(tokenizer.preTokenizer ?? "")],
    ["merges", tokenizer.merges === undefined ? "" : String(tokenizer.merges)],
    ["begin, end", `${tokenizer.bos ?? "none"}, ${tokenizer.eos ?? "none"}`],
    ["ends generation", tokenizer.endOfGeneration.join(", ")],
    ["adds begin", tokenizer.addBos ? "yes" : "no"],
  ].filter(([, value]) => value !== "") as string[][];
}

function showValue(value: MetadataValue): string {
  if (typeof value === "string") {
    const shown = escapeLine(value.slice(0, shownCharacters));
    return value.length > shownCharacters ? `${shown} … (${value.length} characters)` : shown;
  }
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return `[${value.map((item) => showValue(item as MetadataValue)).join(", ")}]`;
  const { array, count, head } = value as { array: string; count: number; head: readonly MetadataValue[] };
  return escapeUnseen(`[${head.map(showValue).join(", ")}, … ${count} of ${array}]`);
}
