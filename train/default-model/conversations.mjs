/** Conversations of our own, made from parts: greetings, closed facts, sums, what it does not know, small talk, stories. */

import { languages } from "./conversation-words.mjs";

/** A seeded generator (mulberry32): the same set every time. */
export function createChoice(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const one = (list) => list[Math.floor(next() * list.length)];
  return { next, one, below: (n) => Math.floor(next() * n) };
}

/**
 * A text as people type it in a hurry, now and then: without capitals and full stops, without the marks that are
 * harder to type ("whats", "cuanto es"). What is asked stays readable: a question mark may go, as in "who are you".
 */
export function hurry(text, { next }, share = 0.4) {
  if (next() >= share) return text;
  const plain = text.replace(/[.!]$/, "").replace(/^[¡¿]/, "");
  const question = next() < 0.5 ? plain.replace(/\?$/, "") : plain;
  const bare =
    next() < 0.5
      ? question
          .normalize("NFD")
          .replace(/(?<=[aeiou])\u0301/g, "")
          .normalize("NFC")
          .replace(/\b(what|who|how|i)'(s|m)\b/gi, "$1$2")
      : question;
  return next() < 0.8 ? bare.toLowerCase() : bare;
}

const capital = (text) => text.replace(/\p{L}/u, (letter) => letter.toUpperCase());

/** `{}` takes the next value, `{2}` the one of that number; in Spanish, article and preposition become one word. */
function fill(text, ...values) {
  let next = 0;
  return text
    .replace(/\{(\d?)\}/g, (_, at) => values[at === "" ? next++ : Number(at)])
    .replace(/\b(de|a) el\b/g, (_, word) => `${word}l`);
}

const parts = (text, mark = /\|\s*/) => text.trim().split(mark);

/** Pairs `[questions, answers]` of lines `question|question => answer|answer`. */
const readPairs = (text) => parts(text, "\n").map((line) => line.split(" => ").map((side) => parts(side)));

/** Cards in a random order, and all of them before one comes again: each is learned equally often. */
function createDeck(cards, { below }) {
  let left = [];
  return () => {
    if (left.length === 0) left = [...cards];
    const at = below(left.length);
    const [card] = left.splice(at, 1, left[left.length - 1]);
    left.pop();
    return card;
  };
}

/** The closed facts, each a pair of all its questions and its one answer. */
function listFacts({ facts, single }) {
  const values = ({ of, both, next }) => {
    if (next !== undefined) {
      const order = next.split(next.includes(",") ? "," : " ");
      return order.slice(1).map((value, i) => [order[i], value]);
    }
    const items = parts(of ?? both, /,\s+/).map((item) => item.split(":"));
    return both === undefined
      ? items
      : items.flatMap(([a, b]) => [
          [a, b],
          [b, a],
        ]);
  };
  const ask = (frame, item) => (/[.?]$/.test(frame) ? capital(fill(frame, ...item)) : fill(frame, ...item));
  return [
    ...facts.flatMap((group) =>
      values(group).map((item) => [
        parts(group.ask).map((frame) => ask(frame, item)),
        [capital(fill(group.answer, ...item))],
      ]),
    ),
    ...readPairs(single),
  ];
}

/** All questions that are refused, by topic: it is a topic that is dealt, in any frame. */
const listRefusals = ({ refusals }) =>
  refusals.flatMap(({ ask, of }) =>
    parts(of, ask === "{}" ? /;\s+/ : /,\s+/).map((topic) => parts(ask).map((frame) => fill(frame, topic))),
  );

/** The 121 sums up to 10 + 10 and the 66 differences from 10 down that are not below 0. */
const allSums = Array.from({ length: 11 }, (_, a) =>
  Array.from({ length: 11 }, (_, b) => [{ a, b, sign: "+" }, ...(b <= a ? [{ a, b, sign: "-" }] : [])]),
).flat(2);

/** Of the sums, so many are with numbers that are too big, or of a kind that it does not know. */
const shareOfHardSums = 0.06;

function createSums(words, choice) {
  const { one, next, below } = choice;
  const deal = createDeck(allSums, choice);
  const frame = (sign) => {
    const others = sign === "+" ? words.added : words.taken;
    return (next() < 0.85 ? one(words.sums) : one(others))
      .replace("{+}", sign)
      .replace("{plus}", sign === "+" ? words.plus : words.minus);
  };
  return () => {
    if (next() < shareOfHardSums) {
      if (next() < 0.4) return [fill(one(words.times), 2 + below(9), 2 + below(9)), one(words.onlyAdd)];
      const [big, other] = [20 + below(next() < 0.5 ? 80 : 980), 1 + below(99)];
      return [fill(frame(next() < 0.6 ? "+" : "-"), Math.max(big, other), Math.min(big, other)), one(words.tooBig)];
    }
    const { a, b, sign } = deal();
    const asked = frame(sign);
    // A sign stands between digits; a word between either.
    const named = !asked.includes(sign) && next() < 0.3;
    const question = fill(asked, ...[a, b].map((n) => (named ? words.numbers[n] : n)));
    const plus = sign === "+" ? words.plus : words.minus;
    const result = sign === "+" ? a + b : a - b;
    return [named ? capital(question) : question, fill(words.sumIs.replace("{plus}", plus), a, b, result)];
  };
}

/** Exchanges by kind: each gives a question and its answer. */
function createExchanges(words, choice) {
  const { one, next } = choice;
  const any = ([questions, answers]) => [one(questions), one(answers)];
  const pairs = (text) => createDeck(readPairs(text), choice);
  const { thanks, praise, byes, ...asked } = Object.fromEntries(
    Object.entries(words.common).map(([name, text]) => [name, pairs(text)]),
  );
  // Twice as often: thanks, goodbye, who it is and how it is, which are said first or by themselves.
  const common = [thanks, thanks, praise, byes, byes, ...Object.values(asked), asked.self, asked.help];
  const dealers = {
    sum: createSums(words, choice),
    fact: createDeck(listFacts(words), choice),
    refusal: createDeck(listRefusals(words), choice),
    talk: pairs(words.talk),
  };
  const single = {
    sum: dealers.sum,
    fact: () => any(dealers.fact()),
    refusal: () => any([dealers.refusal(), words.refused]),
    talk: () => {
      const [question, answer] = any(next() < 0.5 ? one(common)() : dealers.talk());
      return [question, answer.replaceAll(" / ", "\n")];
    },
  };
  return {
    thanks: () => any(thanks()),
    praise: () => any(praise()),
    bye: () => any(byes()),
    single: () => {
      const kind = next();
      return single[kind < 0.3 ? "sum" : kind < 0.6 ? "fact" : kind < 0.8 ? "refusal" : "talk"]();
    },
    greeting: () => {
      const greeting = one(parts(words.greetings));
      const answer = [one(words.welcome), ...(greeting.includes("?") ? [one(words.fine)] : [])];
      return [greeting, [...answer, next() < 0.7 ? one(words.offers) : words.invite].join(" ")];
    },
    no: () => [one(words.no), one(words.allRight)],
    unnamed: () => [one(words.whatIsMyName), one(words.noName)],
  };
}

/** Most characters of the stories of one conversation: with what is said around them, they fit a context of 512 tokens. */
const mostStoryCharacters = { en: 1150, es: 850 };
const mostCharacters = 1650;
const mostExchanges = 5;

/** What kinds of exchanges follow each other in a conversation. */
function planConversation(tells, { one, next, below }) {
  const plan = [];
  if (next() < 0.3) plan.push("greeting");
  const named = next() < 0.12;
  if (named) plan.push("name");
  if (tells) {
    plan.push("story");
    if (next() < 0.3) plan.push("more");
    if (next() < 0.35) plan.push(one(["thanks", "praise"]));
    if (next() < 0.4) plan.push("single");
  } else {
    for (let more = 1 + below(3); more > 0; more--) plan.push("single");
    if (next() < 0.12) plan.push("thanks");
  }
  if (named ? next() < 0.8 : next() < 0.02) plan.push(named ? "whatIsMyName" : "unnamed");
  if (plan.length < mostExchanges && next() < 0.12) plan.push("bye");
  return plan.slice(0, mostExchanges);
}

/** What says the same in both languages, or nothing of the language: it is not asked where the language must be seen. */
const isNeutral = (question) => !/\p{L}/u.test(question) || /^(no|ok|y|chao)\W*$/i.test(question);

/**
 * `count` different conversations of one to five exchanges. A share `spanish` of them begins in Spanish; some change the
 * language on the way, and an answer is always in the language of its question. `stories`, lists of `{ request, text }` by
 * language, are told in a third.
 */
export function makeConversations(count, { seed = 7, spanish = 0.3, stories = {} } = {}) {
  const choice = createChoice(seed);
  const { one, next, below } = choice;
  const exchanges = Object.fromEntries(
    Object.entries(languages).map(([name, words]) => [name, createExchanges(words, choice)]),
  );

  function makeTurns() {
    const plan = planConversation(next() < 0.35 && Object.keys(stories).length > 0, choice);
    const changes = next() < 0.15;
    if (changes && plan.length === 1) plan.push("single");
    const changeAt = changes ? 1 + below(plan.length - 1) : undefined;
    let language = next() < spanish ? "es" : "en";
    const other = () => (language === "es" ? "en" : "es");
    const turns = [];
    let name;
    let told = 0;
    const isOffered = () => languages[language].offers.some((offer) => turns.at(-1)?.[1].endsWith(offer));
    const tell = (kind, offered, changed) => {
      const { text, request } = one(stories[language] ?? [{ text: "", request: "" }]);
      told += text.length / mostStoryCharacters[language];
      if (text === "" || told > 1) return undefined;
      const words = languages[language];
      if (kind === "more" && next() < 0.6) return [one(parts(words.more)), text];
      if (changed && next() < 0.4) return [one(parts(languages[other()].storyInOther)), text];
      return [offered && next() < 0.7 ? one(words.yes) : request, text];
    };
    for (const [at, kind] of plan.entries()) {
      const offered = isOffered();
      const changed = at === changeAt;
      const bridged = changed && next() < 0.3;
      if (changed) {
        language = other();
        if (bridged) {
          const { toThis, switched } = languages[language];
          turns.push([one(parts(next() < 0.5 ? toThis : languages[other()].toOther)), one(switched)]);
        }
      }
      const words = languages[language];
      if (offered && kind === "single" && next() < 0.15) turns.push(exchanges[language].no());
      const spoken = turns.length > 0 && !changed;
      const make = () => {
        if (kind === "story" || kind === "more") return tell(kind, offered, changed && !bridged);
        if (kind === "name") {
          name = one(words.names);
          return [fill(one(words.myNameIs), name), fill(one(words.niceToMeet), name)];
        }
        if (kind === "whatIsMyName") return [one(words.whatIsMyName), fill(one(words.yourNameIs), name)];
        return exchanges[language][kind]();
      };
      let turn = make();
      // "2+2" alone is English; "yes" after an offer asks for the story.
      const unclear = ([question]) =>
        (!spoken && language === "es" && isNeutral(question)) ||
        (changed && isNeutral(question)) ||
        (kind === "single" && isOffered() && [...words.yes, "No"].some((yes) => question.startsWith(yes)));
      for (let tries = 0; tries < 20 && turn !== undefined && unclear(turn); tries++) turn = make();
      if (turn !== undefined) turns.push(turn);
    }
    return turns.slice(0, mostExchanges);
  }

  const seen = new Set();
  const made = [];
  while (made.length < count) {
    const turns = makeTurns();
    const messages = turns.flatMap(([user, assistant]) => [
      { role: "user", content: hurry(user, choice) },
      { role: "assistant", content: assistant },
    ]);
    const key = JSON.stringify(messages);
    const characters = turns.flat().join("").length;
    if (messages.length === 0 || characters > mostCharacters || seen.has(key)) continue;
    seen.add(key);
    made.push({ messages });
  }
  return made;
}
