/** Conversations of our own, made from parts: greetings, who are you, thanks, small questions, in English and Spanish. */

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

/** `{}` takes the next value, `{2}` the one of that number. */
function fill(text, ...values) {
  let next = 0;
  return text.replace(/\{(\d?)\}/g, (_, at) => values[at === "" ? next++ : Number(at)]);
}

/**
 * A text as people type it in a hurry, now and then: without capitals and full stops, in Spanish without the marks that
 * are harder to type. What is asked stays readable: a question mark may go, as in "who are you".
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
      : question;
  return next() < 0.8 ? bare.toLowerCase() : bare;
}

const capital = (text) => text.replace(/\p{L}/u, (letter) => letter.toUpperCase());

/** Exchanges: each gives a question and its answer. */
function createExchanges(words, choice) {
  const { one, below } = choice;
  const pair = (list) => one(list.split(", ")).split(" ");
  const say = (question, answer, ...values) => [fill(one(question), ...values), capital(fill(one(answer), ...values))];
  return [
    () => [one(words.whoAreYou), one(words.iAm)],
    () => [one(words.human), one(words.notHuman)],
    () => [one(words.whatCanYouDo), one(words.iCan)],
    () => [one(words.howAreYou), `${one(words.fine)} ${one(words.offers)}`],
    ...Array(2).fill(() => [one(words.unknown), one(words.dontKnow)]),
    ...Array(6).fill(() => one(words.talk).map((variants) => one(variants.split("|")))),
    ...Array(2).fill(() => {
      const [a, b] = [below(11), below(11)];
      return [fill(one(words.signs), a, b), fill(one(words.sumIs), a, b, a + b)];
    }),
    () => [one(words.favourite), one(words.favouriteIs)],
    () => {
      const [a, b] = [below(7), below(6)];
      const digits = below(2) === 0;
      const show = (n) => (digits ? String(n) : words.numbers[n]);
      const [question, answer] = say(words.sums, words.sumIs, show(a), show(b), show(a + b));
      return [capital(question), answer];
    },
    () => {
      const n = below(12);
      return say(words.after, words.afterIs, words.numbers[n], words.numbers[n + 1]);
    },
    () => {
      const n = below(7);
      return say(words.dayAfter, words.afterIs, words.days[n], words.days[(n + 1) % 7]);
    },
    () => {
      const [a, b] = pair(words.opposites);
      return below(2) === 0 ? say(words.opposite, words.oppositeIs, a, b) : say(words.opposite, words.oppositeIs, b, a);
    },
    () => say(words.colour, words.colourIs, ...pair(words.colours)),
    () => say(words.sound, words.soundIs, ...pair(words.sounds)),
  ];
}

/** Most characters of the stories of one conversation: with what is said around them, they fit a context of 512 tokens. */
const mostStoryCharacters = { en: 1150, es: 850 };

/** Exchanges around stories: asked for, or said yes to when one was offered; then another one, thanks, praise. */
function tellStories(words, stories, room, offered, { one, next }) {
  const turns = [];
  let left = room;
  const pick = () => {
    for (let tries = 0; tries < 20; tries++) {
      const story = one(stories);
      if (story.text.length > left) continue;
      left -= story.text.length;
      return story;
    }
    return undefined;
  };
  let story = pick();
  if (story === undefined) return turns;
  turns.push([offered && next() < 0.7 ? one(words.yes) : story.request, story.text]);
  while (next() < 0.6) {
    const kind = next();
    if (kind < 0.5) {
      story = pick();
      if (story === undefined) break;
      turns.push([kind < 0.3 ? one(words.more) : story.request, story.text]);
    } else if (kind < 0.8) turns.push([one(words.thanks), one(words.welcomeBack)]);
    else turns.push([one(words.praise), one(words.glad)]);
    if (kind >= 0.5) break;
  }
  return turns;
}

/**
 * `count` different conversations of one to some exchanges, a share of them in Spanish. `stories`, lists of `{ request, text }`
 * by language, are told in some.
 */
export function makeConversations(count, { seed = 7, spanish = 0.35, stories = {} } = {}) {
  const choice = createChoice(seed);
  const { one, next, below } = choice;
  const exchanges = Object.fromEntries(
    Object.entries(languages).map(([name, words]) => [name, createExchanges(words, choice)]),
  );
  const seen = new Set();
  const made = [];
  while (made.length < count) {
    const language = next() < spanish ? "es" : "en";
    const words = languages[language];
    const turns = [];
    const offered = () => words.offers.some((offer) => turns.at(-1)?.[1].endsWith(offer));
    if (next() < 0.45) {
      const greeting = one(words.greetings) + one(words.greetingEnds);
      const asked = /\?$/.test(greeting);
      const marks = greeting.startsWith("¡") ? `${greeting.replace(/[.!]$/, "")}!` : greeting;
      turns.push([marks, `${one(words.welcome)} ${asked ? `${one(words.fine)} ` : ""}${one(words.offers)}`]);
    }
    const named = next() < 0.25 ? one(words.names) : undefined;
    if (named) turns.push([fill(one(words.myNameIs), named), fill(one(words.niceToMeet), named)]);
    if (offered() && next() < 0.15) turns.push([one(words.no), one(words.allRight)]);
    const told = stories[language];
    if (told?.length > 0 && next() < 0.35) {
      turns.push(...tellStories(words, told, mostStoryCharacters[language], offered(), choice));
    } else {
      const kinds = new Set();
      for (let more = below(3) + (turns.length === 0 ? 1 : 0); more > 0; more--) kinds.add(one(exchanges[language]));
      for (const make of kinds) turns.push(make());
      if (next() < 0.2) turns.push([one(words.thanks), one(words.welcomeBack)]);
    }
    if (named && next() < 0.7) turns.push([one(words.whatIsMyName), fill(one(words.yourNameIs), named)]);
    if (next() < 0.15) turns.push([one(words.byes), one(words.byeBack)]);
    const messages = turns.flatMap(([user, assistant]) => [
      { role: "user", content: hurry(user, choice) },
      { role: "assistant", content: assistant },
    ]);
    const key = JSON.stringify(messages);
    if (messages.length === 0 || seen.has(key)) continue;
    seen.add(key);
    made.push({ messages });
  }
  return made;
}
