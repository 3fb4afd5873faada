/** Requests for stories, with the stories that answer them: the request is made from the story's own words. */
import { hurry } from "./conversations.mjs";

/** Longest story in characters: about 400 tokens, so that request and story fit a context of 512. */
const longestStory = 1500;

const common = new Set(
  (
    "about after again all also always and another around asked away back because been before began being both but came can " +
    "could day did didn does down each even ever every everyone felt first for friend friends from fun gave get girl boy go " +
    "going good got great had happy has have heard help her here him his home how into it its just kept knew know learned " +
    "let like liked little lived long looked looking love loved made make many more most much must named never new next nice " +
    "not now of off old once one only other others our out over play played put ran run sad said saw say see she smiled so " +
    "some someone something soon started still story stop take than thank that the their them then there these they thing " +
    "things this thought time to together told too took tried two until up upon us used very wanted was way well went were " +
    "what when where which while who why will wise with words world would yes you your under through themselves them moral"
  ).split(" "),
);

const frames = {
  en: {
    any: [
      "Tell me a story.",
      "Tell me a short story.",
      "Can you tell me a story?",
      "I want a story, please.",
      "Please tell me a bedtime story.",
      "story please",
      "a story",
    ],
    about: [
      "Tell me a story about {}.",
      "Write a short story about {}.",
      "Can you tell me a story about {}?",
      "I would like a story about {}, please.",
      "A story about {}, please!",
      "story about {}",
      "Please write a story with {} in it.",
      "I want to hear a story about {}.",
      "Make up a story about {}.",
      "{} story",
    ],
    words: ["Write a story with the words {}.", "Tell me a short story that has the words {}."],
    begins: ['Write a story that begins with: "{}"', 'Go on with this story: "{}"'],
    fable: [
      "Tell me a fable about {}.",
      "Write a fable about {}.",
      "Can you tell me a fable about {}?",
      "A story with a moral about {}, please.",
    ],
    anyFable: ["Tell me a fable.", "Tell me a story with a moral."],
    titled: ['Tell me the story "{}".', 'Write a story called "{}".', "Do you know {}?"],
    and: "and",
  },
  es: {
    any: [
      "Cuéntame un cuento.",
      "Cuéntame una historia.",
      "¿Me cuentas un cuento?",
      "Quiero un cuento, por favor.",
      "Cuéntame un cuento corto.",
      "un cuento por favor",
      "Dime un cuento.",
    ],
    about: [
      "Cuéntame un cuento sobre {}.",
      "Cuéntame un cuento de {}.",
      "Cuéntame una historia sobre {}.",
      "Escribe un cuento corto sobre {}.",
      "¿Me cuentas una historia sobre {}?",
      "Quiero un cuento sobre {}.",
      "un cuento de {}",
    ],
    begins: ['Escribe un cuento que empiece así: "{}"', 'Sigue este cuento: "{}"'],
    fable: ["Cuéntame una fábula sobre {}.", "Escribe una fábula de {}.", "Quiero una fábula sobre {}, por favor."],
    anyFable: ["Cuéntame una fábula.", "Cuéntame un cuento con moraleja."],
    titled: ['Cuéntame el cuento "{}".', 'Escribe un cuento que se llame "{}".'],
  },
};

const fill = (frame, value) => frame.replace("{}", () => value);

/** How many of the texts each word is in. */
function countDocuments(texts) {
  const counts = new Map();
  for (const text of texts) {
    for (const word of new Set(text.toLowerCase().match(/[a-z]+/g) ?? []))
      counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

/** What may follow a noun: an adjective before its noun is no topic. */
const afterNoun =
  "was|were|is|are|had|has|and|or|to|in|on|at|of|from|for|with|that|who|which|said|could|would|went|named|called|as|but|so|began";
const nounPattern = new RegExp(`\\b(?:an?|the|his|her|their) ([a-z]{3,})(?=[.,!?;"]| (?:${afterNoun})\\b)`, "g");

/** Things that a story is about: nouns after an article that come twice or more, the rarer the better. */
function topicsOf(text, counts, total) {
  const found = new Map();
  for (const [, word] of text.toLowerCase().matchAll(nounPattern)) {
    if (!common.has(word)) found.set(word, (found.get(word) ?? 0) + 1);
  }
  const rarity = (word) => Math.log(total / (counts.get(word) ?? 1));
  return [...found]
    .filter(([word, times]) => times >= 2 && (counts.get(word) ?? 0) >= 5)
    .map(([word, times]) => [word, times * rarity(word)])
    .sort((a, b) => b[1] - a[1])
    .slice(0, 3)
    .map(([word]) => word);
}

/** A thing with its article, as the story has it ("a dog", "the moon"). */
function withArticle(word, text) {
  return new RegExp(`\\ban? ${word}\\b`, "i").test(text)
    ? `${/^[aeiou]/.test(word) ? "an" : "a"} ${word}`
    : `the ${word}`;
}

/** @returns conversations `{ messages }`, in an order that is the same every time. */
export function requestStories({ stories, fables, aesop, english, spanish }, choice) {
  const { one, next } = choice;
  const made = [];
  const add = (request, story) => {
    made.push({
      messages: [
        { role: "user", content: hurry(request, choice, 0.3) },
        { role: "assistant", content: story },
      ],
    });
  };
  const { en, es } = frames;

  const counts = countDocuments([...stories, ...fables]);
  const total = stories.length + fables.length;
  const request = (text, about, any) => {
    const topics = topicsOf(text, counts, total);
    const kind = next();
    if (topics.length === 0 || kind < 0.06) return one(any);
    if (kind < 0.12 && topics.length > 2)
      return fill(one(en.words), `${topics.slice(0, 2).join(", ")} ${en.and} ${topics[2]}`);
    if (kind < 0.2) {
      const first = text.match(/^[^.!?\n]{10,120}[.!?]/)?.[0];
      if (first !== undefined && !first.includes('"')) return fill(one(en.begins), first);
    }
    const named = topics.slice(0, next() < 0.75 ? 1 : 2).map((word) => withArticle(word, text));
    return fill(one(about), named.join(` ${en.and} `));
  };
  for (const text of stories) if (text.length <= longestStory) add(request(text, en.about, en.any), text);
  for (const text of fables) if (text.length <= longestStory) add(request(text, en.fable, en.anyFable), text);
  for (const { title, text } of [...aesop, ...english]) {
    if (text.length > 150 && text.length <= longestStory) add(fill(one(en.titled), title), text);
  }
  for (const { title, text } of spanish) {
    if (text.length < 100 || text.length > longestStory) continue;
    const topic = title.replace(/[¡!¿?.]/g, "").replace(/^(El|La|Los|Las|Un|Una) /, (article) => article.toLowerCase());
    for (const frame of es.titled) add(fill(frame, title), text);
    for (let times = 0; times < 3; times++) add(fill(one(es.about), topic), text);
    add(one(es.any), text);
  }
  return made;
}

/** A request for a story of our own: by what it is about, by its beginning, or for any. */
export function requestOwn({ topics, kind, text }, language, { one, next }) {
  const frame = frames[language];
  const chance = next();
  if (chance < 0.1) return one(kind === "fable" ? frame.anyFable : frame.any);
  if (chance < 0.2) {
    const first = text.match(/^[^.!?\n]{10,120}[.!?]/)?.[0];
    if (first !== undefined && !first.includes('"')) return fill(one(frame.begins), first);
  }
  const topic = one(topics);
  // People leave articles out as well: "story about dragon".
  const named = next() < 0.1 ? topic.replace(/^(an?|the|una?|el|la) /, "") : topic;
  return fill(one(kind === "fable" && next() < 0.6 ? frame.fable : frame.about), named);
}
