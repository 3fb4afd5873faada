import { whyNotText } from "../errors.ts";

/** How JSON spells what may be half a character. */
const spelledHalf = /\\u[dD][89a-fA-F]/;

/**
 * JSON's value. Other than JSON.parse, texts in it are text: RFC 8259 leaves open what `"\ud83d"` alone means.
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (spelledHalf.test(text)) checkTexts(value);
  return value;
}

/** Without recursion: JSON may be nested as deep as it is long. */
function checkTexts(value: unknown): void {
  const waiting: (readonly [unknown, string])[] = [[value, ""]];
  for (let entry = waiting.pop(); entry !== undefined; entry = waiting.pop()) {
    const [part, place] = entry;
    if (typeof part === "string") check(part, place === "" ? "" : `"${place}": `);
    else if (Array.isArray(part)) for (const item of part as unknown[]) waiting.push([item, place]);
    else if (typeof part === "object" && part !== null) {
      for (const [key, member] of Object.entries(part)) {
        check(key, "a key: ");
        waiting.push([member, key]);
      }
    }
  }
}

function check(text: string, place: string): void {
  const why = whyNotText(text);
  if (why !== undefined) throw new SyntaxError(`${place}${why}`);
}
