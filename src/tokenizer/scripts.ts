/** Unicode scripts of code points, as SentencePiece's trainer groups them. */

/** Characters of this kind stand beside any script. */
export const anyScript = -1;

/** Scripts of living languages, the frequent ones first; everything else counts as Common, like punctuation. */
const names = [
  ...["Latin", "Cyrillic", "Greek", "Han", "Hiragana", "Katakana", "Hangul", "Arabic", "Hebrew", "Devanagari", "Thai"],
  ...["Bengali", "Tamil", "Telugu", "Kannada", "Malayalam", "Gujarati", "Gurmukhi", "Oriya", "Sinhala", "Armenian"],
  ...["Georgian", "Ethiopic", "Khmer", "Lao", "Myanmar", "Tibetan", "Mongolian", "Thaana", "Syriac", "Cherokee"],
  ...[
    "Canadian_Aboriginal",
    "Bopomofo",
    "Yi",
    "Tifinagh",
    "Nko",
    "Vai",
    "Javanese",
    "Balinese",
    "Sundanese",
    "Braille",
  ],
  ...["Tagalog", "Buginese", "Cham", "Limbu", "Lisu", "Ol_Chiki", "Meetei_Mayek", "Coptic", "Runic", "Ogham", "Gothic"],
];
const common = names.length;
const inherited = names.length + 1;
const han = names.indexOf("Han");
const merged = new Set([names.indexOf("Hiragana"), names.indexOf("Katakana")]);
const patterns = [...names, "Common", "Inherited"].map((name) => new RegExp(`^\\p{Script=${name}}`, "u"));
/** The long vowel mark of Japanese, which Unicode calls Common. */
const longVowel = 0x30fc;
const found = new Map<number, number>();

/** The script of a code point as a number; Japanese syllabaries count as Han. `previous` is what an inheriting mark takes. */
export function scriptOf(codePoint: number, previous: number): number {
  let script = found.get(codePoint);
  if (script === undefined) {
    const character = String.fromCodePoint(codePoint);
    script = patterns.findIndex((pattern) => pattern.test(character));
    if (script < 0) script = common;
    if (merged.has(script) || codePoint === longVowel) script = han;
    found.set(codePoint, script);
  }
  return script === inherited ? previous : script;
}
