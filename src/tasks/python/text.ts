/** What Python's `str` does where JavaScript's strings do otherwise: lm-evaluation-harness's filters and checks are written with it. */

/** Inside a class of characters: what `str.isspace` and `\s` call white space. */
export const spaceClass = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const leading = new RegExp(`^[${spaceClass}]+`);
const trailing = new RegExp(`[${spaceClass}]+$`);
const runs = new RegExp(`[${spaceClass}]+`);

/** `str.strip()` */
export function strip(text: string): string {
  return stripEnd(text.replace(leading, ""));
}

/** `str.rstrip()` */
export function stripEnd(text: string): string {
  return text.replace(trailing, "");
}

/** `str.split()` */
export function splitWords(text: string): readonly string[] {
  const inner = strip(text);
  return inner === "" ? [] : inner.split(runs);
}

/** `str.isupper()`: there are letters with a case, and all of them are capital. */
export function isUpper(text: string): boolean {
  return /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text);
}

/** `str.islower()` */
export function isLower(text: string): boolean {
  return /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text);
}

/** `str.lstrip(character)` */
export function stripLeading(text: string, character: string): string {
  let start = 0;
  while (text[start] === character) start++;
  return text.slice(start);
}

/** `str.rstrip(character)` */
export function stripTrailing(text: string, character: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === character) end--;
  return text.slice(0, end);
}
