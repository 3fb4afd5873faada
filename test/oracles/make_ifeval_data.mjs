// Makes tasks/ifeval/*.json.br, what IFEval's checks know of languages and of English sentences:
//   node test/oracles/make_ifeval_data.mjs LANGDETECT PUNKT_TAB_ENGLISH
// The first is the folder of Python's package langdetect 1.0.9 (profiles of 55 languages, Apache-2.0), the second english/ of nltk_data's
// punkt_tab. Of the orthographic contexts only what the tokenizer asks of them is kept.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

const [langdetect, punkt] = process.argv.slice(2);
const target = join(import.meta.dirname, "../../tasks/ifeval");

function write(name, value) {
  const text = Buffer.from(JSON.stringify(value));
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 };
  writeFileSync(join(target, `${name}.json.br`), brotliCompressSync(text, { params }));
}

const profiles = join(langdetect, "profiles");
const languages = readdirSync(profiles)
  .sort()
  .map((file) => {
    const { name, n_words, freq } = JSON.parse(readFileSync(join(profiles, file), "utf8"));
    const grams = Object.keys(freq)
      .filter((gram) => [...gram].length <= 3)
      .sort();
    return { name, totals: n_words, grams: grams.join("\n"), counts: grams.map((gram) => freq[gram]) };
  });
const messages = readFileSync(join(langdetect, "utils/messages.properties"), "utf8");
const kanji = messages
  .split("\n")
  .filter((line) => line.startsWith("NGram.KANJI_"))
  .map((line) => JSON.parse(`"${line.slice(line.indexOf("=") + 1).trim()}"`));
write("languages", { languages, kanji });

const lines = (name) =>
  readFileSync(join(punkt, name), "utf8")
    .split("\n")
    .filter((line) => line !== "");
const contexts = lines("ortho_context.tab").map((line) => line.split("\t"));
const having = (accepts) =>
  contexts
    .filter(([, bits]) => accepts(Number(bits)))
    .map(([word]) => word)
    .sort()
    .join("\n");
const lower = 16 + 32 + 64;
const upper = 2 + 4 + 8;
write("sentences", {
  abbreviations: lines("abbrev_types.txt").sort(),
  starters: lines("sent_starters.txt").sort(),
  collocations: lines("collocations.tab").sort(),
  // Seen with a small letter and never with a capital one within a sentence; with both; begun sentences with a small letter alone.
  common: having((bits) => bits & lower && !(bits & 4)),
  both: having((bits) => bits & lower && bits & 4),
  small: having((bits) => !(bits & upper) && bits & 16),
});
