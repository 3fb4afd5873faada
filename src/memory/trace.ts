import { GrokError } from "../errors.ts";

/** What a model's layers asked for, pass after pass: what any budget, drive and policy can be tried on afterwards. */
export interface RoutingTrace {
  readonly model: string;
  readonly layers: number;
  /** Experts of a layer. */
  readonly experts: number;
  /** Bytes of one expert of each layer, and of all that every token needs. */
  readonly expertBytes: readonly number[];
  readonly keptBytes: number;
  /** Bytes that the activations of one row of a pass take; 0 where it was not recorded. */
  readonly activationBytes: number;
  readonly passes: readonly RoutingPass[];
}

export interface RoutingPass {
  /** Rows of the pass. */
  readonly tokens: number;
  /** Whether it reads a prompt: not of all rows logits are wanted. Absent where it was not recorded. */
  readonly prompt?: boolean;
  /** By layer, the experts that any row chose, each once. */
  readonly asked: readonly (readonly number[])[];
  /** By layer, what the layer before foretold, the likeliest first; empty where it did not. */
  readonly foretold: readonly (readonly number[])[];
}

export type TraceHead = Omit<RoutingTrace, "passes">;

const format = "grok1 routing trace";

/** The first line of a trace's file; a line for each pass follows. */
export const encodeTraceHead = (head: TraceHead): string => `${JSON.stringify({ format, version: 2, ...head })}\n`;

export const encodeTracePass = ({ foretold, ...pass }: RoutingPass): string =>
  `${JSON.stringify(foretold.some((each) => each.length > 0) ? { ...pass, foretold } : pass)}\n`;

/** More than any model has, so that what a file claims is no reason to take memory. */
const mostLayers = 10_000;
const mostExperts = 100_000;

/**
 * Of version 1, which knew neither activations nor prompts, too. What a program that was ended in the middle of a line wrote last is no pass, and left out.
 * @throws GrokError `format` naming the line, for what is no trace or contradicts itself.
 */
export function parseTrace(text: string, path: string): RoutingTrace {
  const lines = text.split("\n");
  if (lines.length > 1) lines.pop();
  const refuse = (line: number, problem: string, cause?: unknown) =>
    new GrokError("format", `${path}: line ${line}: ${problem}`, { path, line }, cause);
  const parse = (line: number): Record<string, unknown> => {
    let value: unknown;
    try {
      value = JSON.parse(lines[line - 1] ?? "");
    } catch (error) {
      throw refuse(line, "is not JSON", error);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw refuse(line, "expected an object");
    return value as Record<string, unknown>;
  };
  const head = parse(1);
  if (head.format !== format || (head.version !== 1 && head.version !== 2)) {
    throw refuse(1, `expected the head of a ${format}, version 1 or 2`);
  }
  const count = (name: string, most: number): number => {
    const value = head[name];
    if (Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= most) return value as number;
    throw refuse(1, `${name} is ${JSON.stringify(value)}, expected a whole number from 1 to ${most}`);
  };
  const layers = count("layers", mostLayers);
  const experts = count("experts", mostExperts);
  const keptBytes = head.keptBytes === 0 ? 0 : count("keptBytes", Number.MAX_SAFE_INTEGER);
  const knowsRows = head.version === 2 && head.activationBytes !== 0;
  const activationBytes = knowsRows ? count("activationBytes", Number.MAX_SAFE_INTEGER) : 0;
  const { expertBytes, model } = head;
  const isSize = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;
  if (!Array.isArray(expertBytes) || expertBytes.length !== layers || !expertBytes.every(isSize)) {
    throw refuse(1, `expertBytes: expected the bytes of an expert of each of ${layers} layers`);
  }
  const lists = (line: number, name: string, value: unknown): number[][] => {
    if (!Array.isArray(value) || value.length !== layers)
      throw refuse(line, `${name}: expected a list for each of ${layers} layers`);
    for (const list of value as unknown[]) {
      const good =
        Array.isArray(list) &&
        list.every((each) => Number.isSafeInteger(each) && each >= 0 && each < experts) &&
        new Set(list).size === list.length;
      if (!good) throw refuse(line, `${name}: expected lists of different numbers from 0 to ${experts - 1}`);
    }
    return value as number[][];
  };
  const none = Array.from({ length: layers }, () => []);
  const passes = lines.slice(1).map((_, i): RoutingPass => {
    const line = i + 2;
    const { tokens, prompt, asked, foretold } = parse(line);
    if (!isSize(tokens)) throw refuse(line, `tokens is ${JSON.stringify(tokens)}, expected a whole number above 0`);
    if (prompt !== undefined && typeof prompt !== "boolean")
      throw refuse(line, `prompt is ${JSON.stringify(prompt)}, expected true or false`);
    return {
      tokens: tokens as number,
      ...(prompt !== undefined && { prompt }),
      asked: lists(line, "asked", asked),
      foretold: foretold === undefined ? none : lists(line, "foretold", foretold),
    };
  });
  const sizes = { expertBytes: expertBytes as number[], keptBytes, activationBytes };
  return { model: String(model), layers, experts, ...sizes, passes };
}
