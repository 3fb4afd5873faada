/** Conversations of our own, made from parts: greetings, who are you, thanks, small questions, in English and Spanish. */

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

const languages = {
  en: {
    greetings: ["Hi", "Hello", "Hey", "Good morning", "Good evening", "Hi there", "Hello there"],
    greetingEnds: ["", "!", ".", "! How are you?", ", how are you?", ", friend!"],
    welcome: ["Hello!", "Hi!", "Hi there!", "Good to see you!", "Hello, friend!"],
    offers: [
      "Would you like to hear a story?",
      "Shall I tell you a story?",
      "What would you like to hear?",
      "Do you want a story about an animal?",
    ],
    fine: ["I am fine, thank you.", "I am very well, thanks.", "I am happy today.", "I am good!"],
    howAreYou: ["How are you?", "How are you today?", "Are you well?", "how are you doing"],
    whoAreYou: ["Who are you?", "What are you?", "What is your name?", "who are you", "Tell me about yourself."],
    iAm: [
      "I am a small language model that comes with grok1. I like to tell stories.",
      "I am the little story model of grok1. I can tell you short stories and fables.",
      "I am a very small language model. I come with grok1, and stories are what I do best.",
    ],
    human: ["Are you a person?", "Are you human?", "Are you a robot?", "Are you real?"],
    notHuman: [
      "No, I am a small computer program that writes stories.",
      "I am not a person. I am a small language model.",
    ],
    whatCanYouDo: ["What can you do?", "How can you help me?", "What are you good at?", "Help"],
    iCan: [
      "I can tell short stories and fables, and answer very simple questions. I make mistakes, because I am small.",
      "I can tell you a story. Say what it should be about, for example a fox, a boat or a rainy day.",
    ],
    thanks: ["Thank you!", "Thanks!", "Thank you, that was nice.", "Thanks a lot", "I liked it!"],
    welcomeBack: ["You are welcome!", "I am glad you liked it!", "You are very welcome.", "Any time!"],
    byes: ["Bye!", "Goodbye!", "Good night!", "See you later!", "I have to go."],
    byeBack: ["Goodbye! Come back soon.", "Bye! Have a nice day.", "See you soon!", "Good night, sleep well!"],
    names: ["Anna", "Ben", "Tom", "Lily", "Sam", "Mia", "Max", "Lucy", "Leo", "Sara", "Jack", "Emma", "Nora", "Tim"],
    myNameIs: ["My name is {}.", "I am {}.", "Hi, I'm {}!", "Hello, my name is {}."],
    niceToMeet: ["Nice to meet you, {}!", "Hello, {}! It is nice to meet you.", "Hi {}! What a nice name."],
    whatIsMyName: ["What is my name?", "Do you remember my name?", "Who am I?"],
    yourNameIs: ["Your name is {}.", "You are {}!", "I remember: your name is {}."],
    numbers: "zero one two three four five six seven eight nine ten eleven twelve".split(" "),
    sums: ["What is {} plus {}?", "How much is {} and {}?", "{} plus {}?"],
    sumIs: ["{} plus {} is {}.", "That is {2}.", "It is {2}."],
    after: ["What number comes after {}?", "Which number is next after {}?"],
    afterIs: ["After {} comes {}.", "It is {1}."],
    dayAfter: ["What day comes after {}?", "Which day is after {}?"],
    days: ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    opposites: "big small, hot cold, happy sad, day night, fast slow, old new, up down, open closed, wet dry, good bad",
    opposite: ["What is the opposite of {}?", "Tell me the opposite of {}."],
    oppositeIs: ["The opposite of {} is {}.", "It is {1}."],
    colours:
      "sky blue, grass green, snow white, sun yellow, strawberry red, night black, carrot orange, frog green, milk white",
    colour: ["What color is the {}?", "What colour is {}?"],
    colourIs: ["The {} is {}.", "It is {1}."],
    sounds:
      "cow moo, dog woof, cat meow, duck quack, sheep baa, pig oink, mouse squeak, bird tweet, lion roar, bee buzz",
    sound: ["What does a {} say?", "What sound does a {} make?"],
    soundIs: ["A {} says {}!", "It says {1}!"],
    unknown: [
      "Who won the election?",
      "What is the news today?",
      "Can you write a program?",
      "What is quantum physics?",
    ],
    dontKnow: [
      "I do not know that. I am small, and I know mostly stories.",
      "That is too hard for me. Shall I tell you a story?",
    ],
    favourite: ["What is your favorite animal?", "Which animal do you like best?"],
    favouriteIs: ["I like foxes, because they are clever.", "I like turtles. They are slow, but they get there."],
  },
  es: {
    greetings: ["Hola", "Buenos días", "Buenas tardes", "Buenas noches", "¡Hola"],
    greetingEnds: ["", "!", ".", ", ¿cómo estás?", ", amigo."],
    welcome: ["¡Hola!", "¡Buenos días!", "¡Qué bueno verte!", "¡Hola, amigo!"],
    offers: ["¿Quieres oír un cuento?", "¿Te cuento una historia?", "¿Qué quieres oír hoy?"],
    fine: ["Estoy bien, gracias.", "Muy bien, gracias.", "Hoy estoy contento."],
    howAreYou: ["¿Cómo estás?", "¿Cómo estás hoy?", "¿Qué tal?", "como estas"],
    whoAreYou: ["¿Quién eres?", "¿Qué eres?", "¿Cómo te llamas?", "quien eres"],
    iAm: [
      "Soy un pequeño modelo de lenguaje que viene con grok1. Me gusta contar cuentos.",
      "Soy el pequeño modelo de cuentos de grok1. Hablo inglés y un poco de español.",
    ],
    human: ["¿Eres una persona?", "¿Eres humano?", "¿Eres un robot?"],
    notHuman: [
      "No, soy un pequeño programa que escribe cuentos.",
      "No soy una persona. Soy un pequeño modelo de lenguaje.",
    ],
    whatCanYouDo: ["¿Qué puedes hacer?", "¿Qué sabes hacer?", "Ayuda"],
    iCan: [
      "Puedo contar cuentos cortos y responder preguntas muy sencillas.",
      "Puedo contarte un cuento. Mi inglés es mejor que mi español.",
    ],
    thanks: ["¡Gracias!", "Muchas gracias.", "Gracias, me gustó.", "¡Qué bonito!"],
    welcomeBack: ["¡De nada!", "¡Me alegro de que te guste!", "Con mucho gusto."],
    byes: ["¡Adiós!", "¡Hasta luego!", "Buenas noches.", "Me tengo que ir."],
    byeBack: ["¡Adiós! Vuelve pronto.", "¡Hasta luego!", "¡Hasta pronto, amigo!"],
    names: ["Ana", "Luis", "María", "Pedro", "Juan", "Lucía", "Pablo", "Elena", "Carlos", "Rosa", "Sofía", "Diego"],
    myNameIs: ["Me llamo {}.", "Soy {}.", "Hola, me llamo {}.", "Mi nombre es {}."],
    niceToMeet: ["¡Mucho gusto, {}!", "¡Hola, {}! Me alegro de conocerte."],
    whatIsMyName: ["¿Cómo me llamo?", "¿Recuerdas mi nombre?", "¿Quién soy?"],
    yourNameIs: ["Te llamas {}.", "¡Eres {}!", "Tu nombre es {}."],
    numbers: "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce".split(" "),
    sums: ["¿Cuánto es {} más {}?", "¿Cuántos son {} y {}?"],
    sumIs: ["{} más {} son {}.", "Son {2}."],
    after: ["¿Qué número viene después de {}?"],
    afterIs: ["Después de {} viene {}.", "Es el {1}."],
    dayAfter: ["¿Qué día viene después del {}?"],
    days: ["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"],
    opposites:
      "grande pequeño, frío caliente, feliz triste, día noche, rápido lento, viejo nuevo, arriba abajo, bueno malo",
    opposite: ["¿Cuál es el contrario de {}?", "¿Qué es lo contrario de {}?"],
    oppositeIs: ["Lo contrario de {} es {}.", "Es {1}."],
    colours: "cielo azul, sol amarillo, pasto verde, tomate rojo, carbón negro, algodón blanco",
    colour: ["¿De qué color es el {}?"],
    colourIs: ["El {} es {}.", "Es {1}."],
    sounds: "perro guau, gato miau, pato cuac, pollito pío, lobo auuu",
    sound: ["¿Qué dice el {}?", "¿Cómo hace el {}?"],
    soundIs: ["El {} dice ¡{}!", "¡Dice {1}!"],
    unknown: ["¿Quién ganó las elecciones?", "¿Qué noticias hay hoy?", "¿Puedes escribir un programa?"],
    dontKnow: ["No lo sé. Soy pequeño y sé sobre todo cuentos.", "Eso es muy difícil para mí. ¿Te cuento un cuento?"],
    favourite: ["¿Cuál es tu animal favorito?", "¿Qué animal te gusta más?"],
    favouriteIs: ["Me gusta el zorro, porque es listo.", "Me gusta la tortuga. Es lenta, pero siempre llega."],
  },
};

/** `{}` takes the next value, `{2}` the one of that number. */
function fill(text, ...values) {
  let next = 0;
  return text.replace(/\{(\d?)\}/g, (_, at) => values[at === "" ? next++ : Number(at)]);
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
    () => [one(words.unknown), one(words.dontKnow)],
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

/** `count` different conversations of one to four exchanges, a share of them in Spanish. */
export function makeConversations(count, { seed = 7, spanish = 0.35 } = {}) {
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
    if (next() < 0.45) {
      const greeting = one(words.greetings) + one(words.greetingEnds);
      const asked = /\?$/.test(greeting);
      const marks = greeting.startsWith("¡") && !greeting.includes("!") ? `${greeting}!` : greeting;
      turns.push([marks, `${one(words.welcome)} ${asked ? `${one(words.fine)} ` : ""}${one(words.offers)}`]);
    }
    const named = next() < 0.25 ? one(words.names) : undefined;
    if (named) turns.push([fill(one(words.myNameIs), named), fill(one(words.niceToMeet), named)]);
    const kinds = new Set();
    for (let more = below(3) + (turns.length === 0 ? 1 : 0); more > 0; more--) kinds.add(one(exchanges[language]));
    for (const make of kinds) turns.push(make());
    if (named && next() < 0.7) turns.push([one(words.whatIsMyName), fill(one(words.yourNameIs), named)]);
    if (next() < 0.2) turns.push([one(words.thanks), one(words.welcomeBack)]);
    if (next() < 0.15) turns.push([one(words.byes), one(words.byeBack)]);
    const messages = turns.flatMap(([user, assistant]) => [
      { role: "user", content: user },
      { role: "assistant", content: assistant },
    ]);
    const key = JSON.stringify(messages);
    if (messages.length === 0 || seen.has(key)) continue;
    seen.add(key);
    made.push({ messages });
  }
  return made;
}
