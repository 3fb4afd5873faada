import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { GrokError } from "../errors.ts";
import type { ChatMessage } from "./types.ts";

/** Turns messages into the text of a prompt that asks for the assistant's next message. */
export interface ChatTemplate {
  /** @throws GrokError `format` when the template does not parse or fails, or does too much. */
  render(messages: readonly ChatMessage[], variables?: Readonly<Record<string, unknown>>): string;
  /** Texts at which an answer ends, where the format has no control token for it. */
  readonly stop: readonly string[];
}

/** Longest template taken from a file: real ones have up to some 20,000 characters. */
export const longestTemplate = 131_072;
/** Steps and seconds of one rendering, and characters or items that its values may have together beyond the input's own. */
const mostSteps = 1_000_000;
const mostSeconds = 3;
const mostVolume = 64_000_000;
const longestRange = 10_000;

/**
 * A Jinja template, as model files carry it. It is a program that somebody else wrote: it sees only the messages and
 * the variables given, and its steps, its time and the volume of its values are bounded. Parsed at the first use.
 */
export function createJinjaTemplate(source: string, path: string): ChatTemplate {
  if (source.length > longestTemplate) {
    throw new GrokError(
      "format",
      `${path}: the chat template has ${source.length} characters, more than ${longestTemplate}`,
      {
        path,
        length: source.length,
      },
    );
  }
  let program: ReturnType<typeof parse> | undefined;
  return {
    stop: [],
    render(messages, variables = {}) {
      try {
        program ??= parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
        const input = messages.reduce((sum, { content }) => sum + content.length, 0);
        const environment = createEnvironment({
          messages: messages.map((message) => ({ ...message })),
          add_generation_prompt: true,
          ...variables,
        });
        const result = boundInterpreter(environment, mostVolume + 256 * input).run(program);
        if (typeof result.value !== "string") throw new Error("it gives no text");
        return result.value;
      } catch (error) {
        // Deep nesting shows as a RangeError, everything else as an Error of the interpreter.
        const reason = error instanceof Error ? error.message : String(error);
        throw new GrokError("format", `${path}: the chat template failed: ${reason}`, { path }, error);
      }
    },
  };
}

function createEnvironment(variables: Readonly<Record<string, unknown>>): Environment {
  const environment = new Environment();
  const globals = {
    ...{ true: true, True: true, false: false, False: false, none: null, None: null },
    range: boundedRange,
    strftime_now: formatNow,
    raise_exception: (message: string) => {
      throw new Error(message);
    },
    ...variables,
  };
  for (const [name, value] of Object.entries(globals)) if (value !== undefined) environment.set(name, value);
  return environment;
}

/** Every value of the interpreter goes through its `evaluate`: counting there bounds time and memory. */
function boundInterpreter(environment: Environment, volume: number): Interpreter {
  const interpreter = new Interpreter(environment);
  const evaluate = interpreter.evaluate.bind(interpreter);
  let steps = mostSteps;
  let left = volume;
  const deadline = performance.now() + mostSeconds * 1000;
  interpreter.evaluate = (...args: Parameters<typeof evaluate>) => {
    if (--steps < 0) throw new Error("it takes too many steps");
    if (performance.now() > deadline) throw new Error(`it takes longer than ${mostSeconds} seconds`);
    const result = evaluate(...args);
    const { value } = result as { value: unknown };
    if (typeof value === "string" || Array.isArray(value)) left -= value.length;
    if (left < 0) throw new Error("its values grow too large");
    return result;
  };
  return interpreter;
}

function boundedRange(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  const count = Math.max(0, Math.ceil((to - from) / step));
  if (!(count <= longestRange)) throw new Error(`range() of ${count} items`);
  return Array.from({ length: count }, (_, i) => from + i * step);
}

/** The strftime directives that chat templates use: the date. Others stand as they are. */
function formatNow(format: string): string {
  const now = new Date();
  const name = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat("en-US", options).format(now);
  const two = (value: number) => String(value).padStart(2, "0");
  const directives: Record<string, () => string> = {
    Y: () => String(now.getFullYear()),
    m: () => two(now.getMonth() + 1),
    d: () => two(now.getDate()),
    b: () => name({ month: "short" }),
    B: () => name({ month: "long" }),
    a: () => name({ weekday: "short" }),
    A: () => name({ weekday: "long" }),
    H: () => two(now.getHours()),
    M: () => two(now.getMinutes()),
    S: () => two(now.getSeconds()),
  };
  return format.replace(/%([a-zA-Z])/g, (whole, letter: string) => directives[letter]?.() ?? whole);
}

/**
 * For files without a template: the system message, then "User: ..." and "Assistant: ..." paragraphs. The answer ends where
 * the next "User:" would begin.
 */
export const plainTemplate: ChatTemplate = {
  stop: ["\n\nUser:", "\nUser:"],
  render(messages) {
    const names = new Map([
      ["user", "User: "],
      ["assistant", "Assistant: "],
      ["system", ""],
    ]);
    const paragraphs = messages.map(({ role, content }) => `${names.get(role) ?? `${role}: `}${content.trim()}`);
    return [...paragraphs, "Assistant:"].join("\n\n");
  },
};
