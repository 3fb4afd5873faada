/**
 * Prepares the data of the default model from a corpus folder: texts for pre-training, held-out texts, conversations for
 * tuning, and the list of attributions. Only sources whose licence allows it go in: docs/training-data.md says which, and why.
 *
 * Usage: node train/default-model/prepare.mjs CORPUS_FOLDER OUTPUT_FOLDER
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createChoice, hurry, makeConversations } from "./conversations.mjs";
import { requestOwn, requestStories } from "./story-requests.mjs";
import { makeStories, parseTemplates } from "./story-templates.mjs";

const [corpus, out] = process.argv.slice(2);
if (corpus === undefined || out === undefined) {
  process.stderr.write("Usage: node train/default-model/prepare.mjs CORPUS_FOLDER OUTPUT_FOLDER\n");
  process.exit(2);
}
const separator = "\n<|endoftext|>\n";
/** Of 20 documents one is held out. */
const heldOutEvery = 20;

const read = (...path) => readFileSync(join(corpus, ...path), "utf8");
/** Typographic quotes become plain, as in most of the data: fewer characters to learn. */
const plain = (text) =>
  text
    .replace(/[“”„«»]/g, '"')
    .replace(/[‘’]/g, "'")
    .replaceAll("\u00a0", " ")
    .replaceAll("…", "...");
const texts = (...path) =>
  plain(read(...path))
    .split("<|endoftext|>")
    .map((text) => text.trim())
    .filter(Boolean);
const jsonLines = (...path) =>
  read(...path)
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
const isHeldOut = (text) => createHash("sha256").update(text).digest().readUInt32LE(0) % heldOutEvery === 0;

mkdirSync(out, { recursive: true });
const report = [];
function write(name, content, documents) {
  writeFileSync(join(out, name), content);
  report.push(`${name}: ${documents} documents, ${Buffer.byteLength(content)} bytes`);
}
const writeTexts = (name, list) => write(name, list.join(separator) + separator, list.length);
const writeLines = (name, list) => write(name, list.map((entry) => `${JSON.stringify(entry)}\n`).join(""), list.length);

/** Paragraphs of prose: no headings, contents, page numbers or notes of the transcriber. */
function proseOf(book) {
  return plain(book)
    .split(/\n\s*\n/)
    .map((paragraph) =>
      paragraph
        .replace(/\s+/g, " ")
        .replace(/\[(Illustration|Footnote|\d+)[^\]]*\]/g, "")
        .trim(),
    )
    .filter(
      (paragraph) => /[.!?:;,"')-]$/.test(paragraph) && paragraph.split(" ").length > 3 && /[a-z]{2}/.test(paragraph),
    )
    .filter((paragraph) => !/transcriber|gutenberg|copyright|proofread|page \d+|\.{4}|\d\s+\d/i.test(paragraph))
    .join("\n\n");
}
const books = (folder, without = []) =>
  readdirSync(join(corpus, folder))
    .filter((name) => name.endsWith(".txt") && !without.includes(name))
    .sort()
    .map((name) => proseOf(read(folder, name)));

const stories = texts("tinystories", "tinystories.txt");
const fables = texts("tinyfabulist", "fables.txt");
const split = (list) => [list.filter((text) => !isHeldOut(text)), list.filter(isHeldOut)];
const [trainStories, heldStories] = split(stories);
const [trainFables, heldFables] = split(fables);
writeTexts("tinystories.txt", trainStories);
writeTexts("tinystories-held-out.txt", heldStories);
writeTexts("fables.txt", trainFables);
writeTexts("fables-held-out.txt", heldFables);
writeTexts("tales.txt", texts("fairytaleqa", "stories.txt"));
writeTexts("books.txt", [...books("gutenberg-children"), ...books("fairy-tales"), ...books("classic-children")]);
// Quiroga's tales of love, madness and death are not for children.
writeTexts("spanish.txt", books("spanish", ["cuentos-de-amor-de-locura-y-de-muerte.txt"]));

const attributions = [];
const storybook = Object.fromEntries(
  ["en", "es"].map((language) => {
    const allowed = jsonLines("african-storybook", `${language}.jsonl`).filter(
      ({ licence, text }) => /^CC[- ]BY(?![- ](NC|ND|SA))/i.test(licence) && text.trim() !== "",
    );
    for (const { title, author, translation, licence, id } of allowed) {
      attributions.push(
        `- "${title}" (${language}, ${id}), by ${author || "unnamed"}${translation ? `, translated by ${translation}` : ""}, ${licence}`,
      );
    }
    writeTexts(
      `african-storybook-${language}.txt`,
      allowed.map(({ title, text }) => plain(`${title}\n\n${text.trim()}`)),
    );
    return [language, allowed.map(({ title, text }) => ({ title: plain(title), text: plain(text.trim()) }))];
  }),
);
write(
  "ATTRIBUTIONS.md",
  `# African Storybook, africanstorybook.org\n\n${attributions.join("\n")}\n`,
  attributions.length,
);

// Fables of Aesop: a heading in capitals, then the fable.
const aesop = [];
let heading;
for (const paragraph of plain(read("classic-children", "aesop-s-fables.txt")).split(/\n\s*\n/)) {
  const text = paragraph.trim();
  if (/^(THE|A|AN) [A-Z ,'-]+$/.test(text)) {
    heading = text
      .toLowerCase()
      .replace(/(^|[ -])(?!(?:and|the|of|in|with|his|her|who|a|to|at|on)\b)\p{L}/gu, (letter) => letter.toUpperCase());
    heading = heading[0].toUpperCase() + heading.slice(1);
    aesop.push({ title: heading, text: "" });
  } else if (heading !== undefined && text !== "") {
    const last = aesop[aesop.length - 1];
    last.text += last.text === "" ? text : `\n\n${text}`;
  }
}

const choice = createChoice(11);
const chat = (request, answer) => ({
  messages: [
    { role: "user", content: request },
    { role: "assistant", content: answer },
  ],
});
const requests = requestStories(
  {
    stories: trainStories,
    fables: trainFables,
    aesop: aesop.filter(({ text }) => text.length > 200),
    english: storybook.en,
    spanish: storybook.es,
  },
  choice,
);
writeLines("story-requests.jsonl", requests);

/** Stories of our own with their requests, in one language. */
const templates = new URL("stories/", import.meta.url);
function ownStories(language, count) {
  const parsed = readdirSync(templates)
    .filter((name) => name.startsWith(`${language}-`) && name.endsWith(".txt"))
    .sort()
    .flatMap((name) => parseTemplates(readFileSync(new URL(name, templates), "utf8"), name));
  return makeStories(parsed, language, count, choice).map((story) => ({
    request: hurry(requestOwn(story, language, choice), choice, 0.3),
    text: story.text,
  }));
}
const own = { en: ownStories("en", 16000), es: ownStories("es", 8000) };
for (const language of ["en", "es"]) {
  writeLines(
    `own-stories-${language}.jsonl`,
    own[language].map(({ request, text }) => chat(request, text)),
  );
}

// Conversations tell stories that are short enough for two of them.
const trained = new Set(trainStories);
const isShort = ({ text }) => text.length <= 700;
const short = requests
  .map(({ messages: [{ content: request }, { content: text }] }) => ({ request, text }))
  .filter((story) => isShort(story) && trained.has(story.text));
writeLines(
  "conversations.jsonl",
  makeConversations(16000, { stories: { en: [...short, ...own.en.filter(isShort)], es: own.es.filter(isShort) } }),
);
// For the last stage: none but our own, which keep to what they are about.
writeLines(
  "conversations-own.jsonl",
  makeConversations(8000, { seed: 8, stories: { en: own.en.filter(isShort), es: own.es.filter(isShort) } }),
);
process.stdout.write(`${report.join("\n")}\n`);
