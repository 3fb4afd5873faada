/** Python's changes of letters where JavaScript has no such, or another. */

/** Letters that are written otherwise at the beginning of a title than in capitals: `ǆ` becomes `ǅ`, not `Ǆ`. */
let titles: ReadonlyMap<string, string> | undefined;

function titleTable(): ReadonlyMap<string, string> {
  const table = new Map<string, string>();
  for (let code = 0x1c0; code < 0x2000; code++) {
    const letter = String.fromCharCode(code);
    if (!/\p{Lt}/u.test(letter)) continue;
    for (const other of [letter, letter.toLowerCase(), letter.toUpperCase()]) {
      if (other.length === 1) table.set(other, letter);
    }
  }
  return table;
}

/** One character's form at the beginning of a title. */
export function titleLetter(letter: string): string {
  titles ??= titleTable();
  const known = titles.get(letter);
  if (known !== undefined) return known;
  // Georgian has capitals, but no titles with them.
  if (letter >= "ა" && letter <= "ჿ") return letter;
  // `ŉ` comes apart into an apostrophe and the letter; the others are one capital and the rest small.
  if (letter === "ŉ") return "ʼN";
  const [first = "", ...rest] = letter.toUpperCase();
  return first + rest.join("").toLowerCase();
}

export function capitalize(value: string): string {
  const [first = ""] = value;
  return titleLetter(first) + value.slice(first.length).toLowerCase();
}

/** `str.title`: a letter after what is none begins a word. */
export function titleCase(value: string): string {
  return value.replace(/[\p{Lowercase}\p{Uppercase}\p{Lt}]+/gu, capitalize);
}

export function swapCase(value: string): string {
  return value.replace(/\p{Lowercase}+|[\p{Uppercase}]+/gu, (run) =>
    /^\p{Lowercase}/u.test(run) ? run.toUpperCase() : run.toLowerCase(),
  );
}

/** Full case folding, letter by letter. Cherokee folds to its capitals, which are older; the dotless i stays itself. */
export function foldCase(value: string): string {
  return value.replace(/[^\0-\x7f]/gu, foldLetter).replace(/[A-Z]+/g, (run) => run.toLowerCase());
}

function foldLetter(letter: string): string {
  const code = letter.codePointAt(0)!;
  if (code === 0x131) return letter;
  if (code === 0x1e9e) return "ss";
  if ((code >= 0x13a0 && code <= 0x13fd) || (code >= 0xab70 && code <= 0xabbf)) return letter.toUpperCase();
  return [...letter.toUpperCase()].map((each) => each.toLowerCase()).join("");
}

const whole = (value: string, pattern: RegExp): boolean => value !== "" && pattern.test(value);

/** The `is...` methods, by name. */
export const letterTests: Readonly<Record<string, (value: string) => boolean>> = {
  isalpha: (value) => whole(value, /^\p{L}*$/u),
  isdecimal: (value) => whole(value, /^\p{Nd}*$/u),
  isdigit: (value) => whole(value, /^[\p{Nd}²³¹⁰⁴-⁹₀-₉①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒፩-፱᧚]*$/u),
  isnumeric: (value) => whole(value, numeric),
  isalnum: (value) => whole(value, /^[\p{L}\p{N}〇一二三四五六七八九十百千万億兆]*$/u),
  isspace: (value) => whole(value, /^[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$/),
  isascii: (value) => /^[\0-\x7f]*$/.test(value),
  isprintable: (value) => !/[^\P{C}]|[^\P{Z} ]/u.test(value),
  isidentifier: (value) => /^[\p{XID_Start}_]\p{XID_Continue}*$/u.test(value),
  islower: (value) => /\p{Lowercase}/u.test(value) && !/[\p{Uppercase}\p{Lt}]/u.test(value),
  isupper: (value) => /\p{Uppercase}/u.test(value) && !/[\p{Lowercase}\p{Lt}]/u.test(value),
  istitle: isTitle,
};

const numeric = /^[\p{N}〇一二三四五六七八九十百千万亿億兆零壹贰叁肆伍陆柒捌玖拾佰仟]*$/u;

function isTitle(value: string): boolean {
  let found = false;
  let inside = false;
  for (const letter of value) {
    if (/[\p{Uppercase}\p{Lt}]/u.test(letter)) {
      if (inside) return false;
      found = true;
      inside = true;
    } else if (/\p{Lowercase}/u.test(letter)) {
      if (!inside) return false;
    } else inside = false;
  }
  return found;
}
