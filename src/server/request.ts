import type { z } from "zod";
import { decodeText } from "../bytes/text.ts";
import { GrokError } from "../errors.ts";

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
  const text = textOf(await readBytes(request, mostBytes));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new GrokError("argument", `the body is no JSON: ${(error as Error).message}`, {}, error);
  }
  const read = schema.safeParse(value);
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
  const found = forms.filter((form) => form.path.length === furthest);
  return { path: [...path, ...found[0]!.path], message: [...new Set(found.map((form) => form.message))].join("; or ") };
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

/** Lists and objects in each other, and how much is in them: reading both takes time in which nobody else is answered. */
const mostDepth = 100;
const mostValues = 2 ** 18;

/** Takes a JSON text in pieces, before it is read. @throws GrokError `argument` once it is nested too deeply, or of too many parts */
function createMeasure(): (piece: Uint8Array) => void {
  const [quote, backslash, list, listEnd, object, objectEnd, comma] = Buffer.from('"\\[]{},');
  let depth = 0;
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
      else if (byte === list || byte === object) depth++;
      else if (byte === listEnd || byte === objectEnd) depth--;
      if (depth > mostDepth) {
        throw new GrokError("argument", `the body is nested more than ${mostDepth} deep`, { most: mostDepth });
      }
    }
    if (values > mostValues) {
      throw new GrokError("argument", `the body has more than ${mostValues} values`, { most: mostValues });
    }
  };
}
