/** Breaks lines between words as text streams to a terminal, which would break them within. */
export interface Wrapper {
  /** What can be written now; a word is held back until it is whole. */
  push(text: string): string;
  /** What was held back. */
  end(): string;
}

// Line ends, spaces, characters that may stand apart from their neighbours (those of scripts without spaces), words.
const parts =
  /\n|[ \t]+|[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]\p{M}*|[^\s\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]+|[^\n \t]/gu;

const apart = /^[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]/u;

/** Punctuation that stays with what it follows. */
const closing = /^[\p{Pe}\p{Pf}\p{Po}]/u;

/** `columns` is asked anew for each word: the window may change its size. Undefined or 0: nobody knows, and nothing is wrapped. */
export function createWrapper(columns: () => number | undefined): Wrapper {
  let column = 0;
  let spaces = "";
  let word = "";
  /** The last one may stand apart from what follows it. */
  let loose = false;

  const place = (): string => {
    if (word === "") return "";
    const most = columns() || Number.POSITIVE_INFINITY;
    const width = displayWidth(word);
    const gap = displayWidth(spaces);
    const mayBreak = spaces !== "" || apart.test(word) || (loose && !closing.test(word));
    const breaks = column > 0 && mayBreak && column + gap + width > most && width <= most;
    const before = breaks ? "\n" : spaces;
    column = breaks ? width : column + gap + width;
    // A word that is longer than the screen, or has no space before it, is broken by the terminal.
    if (column > most) column %= most;
    const placed = before + word;
    loose = apart.test(word);
    spaces = "";
    word = "";
    return placed;
  };

  return {
    push(text) {
      let out = "";
      for (const [part] of text.matchAll(parts)) {
        if (part === "\n") {
          out += `${place()}\n`;
          spaces = "";
          column = 0;
        } else if (part[0] === " " || part[0] === "\t") {
          out += place();
          spaces += part;
        } else {
          if (apart.test(part)) out += place();
          word += part;
          if (apart.test(part)) out += place();
        }
      }
      return out;
    },
    end: () => place() + spaces,
  };
}

/** A whole text, broken between words. */
export function wrapText(text: string, columns: number | undefined): string {
  const wrapper = createWrapper(() => columns);
  return wrapper.push(text) + wrapper.end();
}

const wide = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{Emoji_Presentation}\u3000-\u303f\uff01-\uff60]/u;
const narrow = /[\p{M}\p{Cf}]/u;

/** Columns that a terminal gives a text, as nearly as can be told without asking it. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (narrow.test(character)) continue;
    width += wide.test(character) ? 2 : 1;
  }
  return width;
}
