import { z } from "zod";
import { decodeText } from "../bytes/text.ts";
import { describeValue, GrokError } from "../errors.ts";
import { keepPace } from "../generate/turns.ts";

/**
 * The body of a request, read without trust: JSON of bounded size that a schema describes.
 * @throws GrokError `too-large`; `argument` naming the field that is wrong, and what was expected of it
 */
export async function readBody<T>(request: Request, schema: z.ZodType<T>, mostBytes: number): Promise<T> {
  const type = request.headers.get("content-type") ?? "";
  // JSON, also where curl's -d calls it a form, as in Ollama's own examples: a page's form comes with its origin, which the guard knows.
  if (!/^(application\/(json|x-www-form-urlencoded)\s*(;|$)|$)/i.test(type)) {
    throw new GrokError("argument", "the body's content-type is not application/json", { option: "content-type" });
  }
  if (!/^(identity)?$/i.test(request.headers.get("content-encoding") ?? "")) {
    // A few bytes can unfold to more than there is memory for.
    throw new GrokError("argument", "a compressed body is not read here", { option: "content-encoding" });
  }
  const bytes = await readBytes(request, mostBytes);
  await keepPace();
  const text = textOf(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new GrokError("argument", `the body is no JSON: ${(error as Error).message}`, {}, error);
  }
  const read = schema.safeParse(leaveOutNulls(value, schema), { error: sayExpected });
  if (read.success) return read.data;
  const { path, message } = nearest(read.error.issues[0]!);
  const place = path.map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`)).join("");
  const option = place.replace(/^\./, "");
  throw new GrokError(
    "argument",
    `${option === "" ? "the body" : option}: ${message}`,
    option === "" ? {} : { option },
  );
}

/** A field that may be left out may be null too, as many clients write that they leave it out; also in an object that is a field. */
function leaveOutNulls(value: unknown, schema: z.ZodType): unknown {
  if (!(schema instanceof z.ZodObject) || !isObject(value)) return value;
  const fields: Readonly<Record<string, z.ZodType>> = schema.shape;
  const kept = Object.entries(value).flatMap(([name, field]) => {
    const wanted = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (field === null && wanted !== undefined) {
      return !wanted.safeParse(null).success && wanted.safeParse(undefined).success ? [] : [[name, field]];
    }
    const inner = wanted instanceof z.ZodOptional ? wanted.unwrap() : wanted;
    return [[name, inner === undefined ? field : leaveOutNulls(field, inner as z.ZodType)]];
  });
  return Object.fromEntries(kept);
}

const isObject = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value);

interface Place {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** Of several forms that a field may have, what the one says that came furthest; of a key that is not known, its own place. */
function nearest(issue: z.core.$ZodIssue): Place {
  const { path, message } = issue;
  if (issue.code === "unrecognized_keys") return { path: [...path, issue.keys[0]!], message: "is not known here" };
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return { path, message };
  const forms = issue.errors.map((issues) => nearest(issues[0]!));
  const furthest = Math.max(...forms.map((form) => form.path.length));
  // What a field says of itself is clearer than what each of its forms does.
  if (furthest === 0 && message !== plainUnion) return { path, message };
  const found = forms.filter((form) => form.path.length === furthest);
  return { path: [...path, ...found[0]!.path], message: joinMessages(found.map((form) => form.message)) };
}

/** "is 5, expected a text" and "is 5, expected a list": a text or a list. */
function joinMessages(messages: readonly string[]): string {
  const [first, ...others] = [...new Set(messages)];
  const [found, expected] = first!.split(", expected ", 2);
  const same = others.every((message) => message.startsWith(`${found}, expected `));
  if (expected === undefined || !same) return [first, ...others].join("; or ");
  return [first, ...others.map((message) => message.slice(`${found}, expected `.length))].join(" or ");
}

const plainUnion = "none of its forms";

const kinds: Readonly<Record<string, string>> = {
  ...{ string: "a text", number: "a number", int: "a whole number", boolean: "true or false", array: "a list" },
  ...{ object: "an object", record: "an object", null: "null", nan: "a number" },
};

/** What is wrong with a value, in the server's words: what it is, and what was expected. */
function sayExpected(issue: z.core.$ZodRawIssue): string | undefined {
  const { input } = issue;
  const found = input === undefined ? "is missing" : `is ${describeValue(input)}`;
  const { origin, inclusive } = issue as { readonly origin?: string; readonly inclusive?: boolean };
  const parts = (of: unknown) => {
    if (origin === "string") return of === 1 ? " character" : " characters";
    if (origin === "array") return of === 1 ? " entry" : " entries";
    return "";
  };
  const counted = origin === "string" || origin === "array";
  switch (issue.code) {
    case "invalid_type":
      return `${found}, expected ${kinds[issue.expected as string] ?? issue.expected}`;
    case "invalid_value":
      return `${found}, expected ${(issue.values as readonly unknown[]).map((one) => JSON.stringify(one)).join(", ")}`;
    case "too_small":
      return `${found}, expected ${counted || inclusive ? "at least" : "more than"} ${issue.minimum}${parts(issue.minimum)}`;
    case "too_big":
      return `${found}, expected ${counted || inclusive ? "at most" : "less than"} ${issue.maximum}${parts(issue.maximum)}`;
    case "invalid_union": {
      const { discriminator, inst } = issue as { readonly discriminator?: string; readonly inst?: z.core.$ZodType };
      const values = discriminator === undefined ? undefined : inst?._zod.propValues?.[discriminator];
      if (values === undefined) return plainUnion;
      const value = (input as Readonly<Record<string, unknown>>)[discriminator!];
      const some = [...values].map((one) => JSON.stringify(one)).join(", ");
      return `is ${value === undefined ? "missing" : describeValue(value)}, expected ${some}`;
    }
    default:
      return undefined;
  }
}

/** A client's bytes that are no text are its mistake, as those of a file are the file's. */
function textOf(bytes: Uint8Array): string {
  try {
    return decodeText(bytes, "the body");
  } catch (error) {
    if (!(error instanceof GrokError)) throw error;
    throw new GrokError("argument", error.message, error.details, error);
  }
}

async function readBytes(request: Request, most: number): Promise<Uint8Array> {
  const tooLarge = () => new GrokError("too-large", `the body has more than the ${most} bytes that are read`, { most });
  if (Number(request.headers.get("content-length") ?? 0) > most) throw tooLarge();
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  const measure = createMeasure();
  for await (const piece of request.body ?? []) {
    bytes += piece.byteLength;
    if (bytes > most) throw tooLarge();
    measure(piece);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Lists and objects in each other, how many of them, and how much is in them: reading these takes time in which nobody else is answered. */
const mostDepth = 100;
const mostContainers = 10_000;
const mostValues = 2 ** 17;

/** Takes a JSON text in pieces, before it is read. @throws GrokError `argument` once it is nested too deeply, or of too many parts */
function createMeasure(): (piece: Uint8Array) => void {
  const [quote, backslash, list, listEnd, object, objectEnd, comma] = Buffer.from('"\\[]{},');
  let depth = 0;
  let containers = 0;
  let values = 1;
  let inText = false;
  let escaped = false;
  return (piece) => {
    for (let i = 0; i < piece.length; i++) {
      const byte = piece[i];
      if (escaped) escaped = false;
      else if (byte === quote) inText = !inText;
      else if (inText) escaped = byte === backslash;
      else if (byte === comma) values++;
      else if (byte === list || byte === object) {
        depth++;
        containers++;
      } else if (byte === listEnd || byte === objectEnd) depth--;
      if (depth > mostDepth) {
        throw new GrokError("argument", `the body is nested more than ${mostDepth} deep`, { most: mostDepth });
      }
    }
    if (containers > mostContainers) {
      throw new GrokError("argument", `the body has more than ${mostContainers} lists and objects`, {
        most: mostContainers,
      });
    }
    if (values > mostValues) {
      throw new GrokError("argument", `the body has more than ${mostValues} values`, { most: mostValues });
    }
  };
}
