import { createPythonRandom } from "../python/random.ts";
import { isUpper } from "../python/text.ts";
import { lazy, readKnowledge } from "./knowledge.ts";

/** How often each run of up to three letters stands in texts of a language. */
interface Profile {
  readonly name: string;
  /** Of runs of one, two and three letters, how many there were. */
  readonly totals: readonly [number, number, number];
  readonly grams: string;
  readonly counts: readonly number[];
}

interface Languages {
  readonly names: readonly string[];
  /** By a run of letters: which languages have it, and its share in each. */
  readonly shares: ReadonlyMap<string, readonly (readonly [language: number, share: number])[]>;
  /** Characters that stand for others like them. */
  readonly kanji: ReadonlyMap<string, string>;
}

const openLanguages = lazy((): Languages => {
  const { languages, kanji } = readKnowledge<{
    readonly languages: readonly Profile[];
    readonly kanji: readonly string[];
  }>("languages");
  const shares = new Map<string, (readonly [number, number])[]>();
  for (const [language, { totals, grams, counts }] of languages.entries()) {
    for (const [i, gram] of grams.split("\n").entries()) {
      const share = counts[i]! / totals[[...gram].length - 1]!;
      const known = shares.get(gram);
      if (known === undefined) shares.set(gram, [[language, share]]);
      else known.push([language, share]);
    }
  }
  const like = kanji.flatMap((characters) => [...characters].map((each) => [each, [...characters][0]!] as const));
  return { names: languages.map(({ name }) => name), shares, kanji: new Map(like) };
});

const trials = 7;
/** Smoothing of shares, and by how much it varies between trials. */
const alpha = 0.5;
const alphaWidth = 0.05;
const baseFrequency = 10_000;
/** One language's probability that ends a trial, and the draws that do. */
const converged = 0.99999;
const mostDraws = 1000;
/** What is believed at least. */
const threshold = 0.1;
const mostCharacters = 10_000;

/**
 * The language of a text by its runs of letters (ISO 639-1, Chinese as zh-cn or zh-tw), "unknown" where none is likely; undefined where there
 * are no letters to tell by. Python's `langdetect` 1.0.9 (Nakatani 2010) with its seed set to 0: naive Bayes over runs drawn at random.
 */
export function detectLanguage(text: string): string | undefined {
  const { names, shares } = openLanguages();
  const rows = gramsOf(clean(text)).map((gram) => denseRow(shares.get(gram)!, names.length));
  if (rows.length === 0) return undefined;
  const random = createPythonRandom(0);
  const means = new Float64Array(names.length);
  for (let trial = 0; trial < trials; trial++) {
    const likely = new Float64Array(names.length).fill(1 / names.length);
    const weight = (alpha + random.gauss() * alphaWidth) / baseFrequency;
    for (let draw = 0; ; draw++) {
      const row = rows[random.below(rows.length)]!;
      for (let i = 0; i < likely.length; i++) likely[i]! *= weight + row[i]!;
      if (draw % 5 === 0 && (normalize(likely) > converged || draw >= mostDraws)) break;
    }
    for (let i = 0; i < means.length; i++) means[i]! += likely[i]! / trials;
  }
  const best = means.indexOf(Math.max(...means));
  return means[best]! > threshold ? names[best]! : "unknown";
}

/** Each run's row once. */
const rowsByShares = new WeakMap<object, Float64Array>();

function denseRow(sparse: readonly (readonly [number, number])[], length: number): Float64Array {
  const known = rowsByShares.get(sparse);
  if (known !== undefined) return known;
  const row = new Float64Array(length);
  for (const [language, share] of sparse) row[language] = share;
  rowsByShares.set(sparse, row);
  return row;
}

/** @returns the greatest of them. */
function normalize(likely: Float64Array): number {
  const sum = likely.reduce((total, each) => total + each, 0);
  for (let i = 0; i < likely.length; i++) likely[i]! /= sum;
  return Math.max(...likely);
}

/** Without addresses, and without Latin letters where most others are none. */
function clean(text: string): readonly string[] {
  const plain = [
    ...text
      .replace(/https?:\/\/[-_.?&~;+=/#0-9A-Za-z]{1,2076}/g, " ")
      .replace(/[-_.0-9A-Za-z]{1,64}@[-_0-9A-Za-z]{1,255}[-_.0-9A-Za-z]{1,255}/g, " ")
      .replace(
        vietnamese,
        (_, letter: string, mark: string) => [...composed[mark]!][[...plainLetters].indexOf(letter)]!,
      ),
  ]
    .slice(0, mostCharacters)
    .filter((character, i, all) => character !== " " || all[i - 1] !== " ");
  const latin = plain.filter((character) => character >= "A" && character <= "z").length;
  const other = plain.filter((character) => character.codePointAt(0)! >= 0x300).length;
  return latin * 2 < other ? plain.filter((character) => character < "A" || character > "z") : plain;
}

/** Vietnamese letters whose marks stand behind them. */
const plainLetters = "AEIOUYaeiouyÂÊÔâêôĂăƠơƯư";
const composed: Readonly<Record<string, string>> = {
  "\u0300": "ÀÈÌÒÙỲàèìòùỳẦỀỒầềồẰằỜờỪừ",
  "\u0301": "ÁÉÍÓÚÝáéíóúýẤẾỐấếốẮắỚớỨứ",
  "\u0303": "ÃẼĨÕŨỸãẽĩõũỹẪỄỖẫễỗẴẵỠỡỮữ",
  "\u0309": "ẢẺỈỎỦỶảẻỉỏủỷẨỂỔẩểổẲẳỞởỬử",
  "\u0323": "ẠẸỊỌỤỴạẹịọụỵẬỆỘậệộẶặỢợỰự",
};
const vietnamese = new RegExp(`([${plainLetters}])([${Object.keys(composed).join("")}])`, "g");

/** Runs of one to three letters that some language has, within words and with the space beside them; none of words in capitals. */
function gramsOf(characters: readonly string[]): readonly string[] {
  const { shares, kanji } = openLanguages();
  const grams: string[] = [];
  let run = [" "];
  let capitals = false;
  for (const character of characters) {
    const letter = normalizeLetter(character, kanji);
    const last = run.at(-1)!;
    if (last === " ") {
      run = [" "];
      capitals = false;
      if (letter === " ") continue;
    } else if (run.length >= 3) run.shift();
    run.push(letter);
    if (!isUpper(letter)) capitals = false;
    else if (isUpper(last)) capitals = true;
    if (capitals) continue;
    for (let n = 1; n <= run.length; n++) {
      const gram = run.slice(-n).join("");
      if (gram !== " " && shares.has(gram)) grams.push(gram);
    }
  }
  return grams;
}

/** Letters that are written in several ways, or tell no more than their script does, as one of them; what is no letter as a space. */
function normalizeLetter(letter: string, kanji: ReadonlyMap<string, string>): string {
  const code = letter.codePointAt(0)!;
  const within = (first: number, last: number) => code >= first && code <= last;
  if (code < 0x80) return /[A-Za-z]/.test(letter) ? letter : " ";
  if (/[\xa0«°»]/.test(letter) || within(0x2000, 0x206f)) return " ";
  // Romanian with a comma below, as with a cedilla; the Persian yeh as the Arabic one.
  if (letter === "ș") return "ş";
  if (letter === "ț") return "ţ";
  if (letter === "\u06cc") return "\u064a";
  if (within(0x1ea0, 0x1eff)) return "ể";
  if (within(0x3040, 0x309f)) return "あ";
  if (within(0x30a0, 0x30ff)) return "ア";
  if (within(0x3100, 0x312f) || within(0x31a0, 0x31bf)) return "ㄅ";
  if (within(0x4e00, 0x9fff)) return kanji.get(letter) ?? letter;
  if (within(0xac00, 0xd7af)) return "가";
  return letter;
}
