/**
 * Stories of our own, made from templates (`stories/*.txt`): what is named first stays what it is to the end, which is what a
 * very small model learns last from stories in the wild. A template is a header of slots, a blank line and the text; `[a|b]`
 * takes one of its alternatives, `{slot}` the value that the whole story keeps. docs/training-data.md has the syntax.
 */

const words = (text) => text.trim().split(/\s+/);

/** Who may be a hero. Nouns that are not of either gender take one by chance. */
const english = {
  any: [
    ...words(`
      ant badger bat bear beaver bee beetle bird bison bluebird bull bunny butterfly calf camel cat caterpillar chick
      chicken chipmunk cow crab crane cricket crocodile crow deer dog dolphin donkey dove dragonfly duck duckling eagle
      elephant elk falcon ferret firefly fish flamingo fly fox frog gecko gerbil giraffe goat goldfish goose gorilla
      grasshopper hamster hare hawk hedgehog hen heron hippo horse jay kangaroo kitten koala ladybug lamb lark lion
      lizard llama lobster mole monkey moose moth mouse mule newt octopus ostrich otter owl ox panda panther parrot
      peacock pelican penguin pig pigeon piglet pony porcupine puffin puppy rabbit raccoon rat raven reindeer rhino
      robin rooster salmon seagull seahorse seal shark sheep shrimp skunk sloth snail snake sparrow spider squid
      squirrel starfish stork swallow swan tiger toad tortoise turkey turtle walrus wasp weasel whale wolf wombat worm
      yak zebra`),
    ...words(`
      alien astronaut baker builder clown cook dancer doctor dragon driver dwarf elf farmer fisherman gardener ghost giant
      gnome goblin hunter inventor juggler magician miller monster nurse painter pilot pirate postman robot sailor
      shepherd singer snowman tailor teacher troll unicorn wizard`),
  ],
  he: words("boy king knight prince grandfather man"),
  she: words("girl queen princess fairy mermaid witch grandmother woman"),
};
const englishNames = {
  he: words(`
    Adam Albert Alex Amos Arlo Ben Bert Billy Bobby Bruno Carl Charlie Danny David Eddie Felix Finn Fred George Gus Hal Harry
    Hugo Jack Jasper Joe Leo Louis Luke Mark Max Milo Ned Nico Oliver Omar Oscar Otto Pablo Paul Pete Pip Ravi Rex Roy Sam
    Simon Theo Tim Toby Tom Victor Walter Will Zack`),
  she: words(`
    Ada Alice Amy Anna Bella Betty Bonnie Clara Daisy Dora Elena Ella Emma Eva Fern Fiona Flora Gina Grace Hana Hazel Holly Ida
    Iris Ivy Jane Josie June Kate Kim Lena Lily Lola Lucy Luna Maria Maya Mia Mimi Molly Nell Nina Nora Pearl Penny
    Polly Rosa Rosie Ruby Sara Sofia Stella Sue Tara Tess Wendy Zoe`),
};
const spanish = [
  ...words(`
    gato perro zorro conejo dragón oso ratón león pájaro pez burro lobo elefante mono sapo caballo pato erizo niño príncipe
    robot pirata gigante fantasma búho caracol camello canguro cangrejo castor cerdo ciervo cisne cocodrilo cordero cuervo
    delfín duende escarabajo gallo ganso grillo gusano hipopótamo lagarto loro mago mapache marinero mosquito murciélago
    panda payaso pingüino pollito potro pulpo pavo rey tiburón tigre topo toro unicornio panadero pintor jardinero
    pescador monstruo muñeco abuelo pastor caballero astronauta`).map((noun) => `un ${noun}`),
  ...words(`
    tortuga rana niña abeja mariposa hormiga vaca oveja gallina princesa ardilla ballena paloma gata bruja araña cabra
    jirafa estrella nube sirena cebra cigüeña cocinera foca gaviota golondrina jardinera lagartija lechuza libélula
    luciérnaga llama loba leona mariquita maestra marmota medusa mona mula nutria osa pastora pata perra polilla
    pulga reina serpiente tigresa urraca zorra giganta dragona pirata abuela pintora inventora lombriz liebre`).map(
    (noun) => `una ${noun}`,
  ),
];
const spanishNames = {
  m: words(`
    Leo Tomás Nico Pepe Beto Simón Bruno Hugo Paco Lucas Mateo Diego Pablo Andrés Samuel Teo Rafa Julián Martín Manolo
    Quique Raúl Darío Gaspar Félix Max Rubén Tino`),
  f: words(`
    Lola Ana Rosa Nina Clara Luna Sara Mía Julia Pepa Elena Marta Lucía Carla Noa Vera Paula Carmen Alba Eva
    Teresa Daniela Lina Mara Nuria Violeta Zoe`),
};

const capital = (text) => text.replace(/\p{L}/u, (letter) => letter.toUpperCase());

/** @returns templates `{ source, about, kind, slots: Map<name, alternatives>, text }` of one file; a fault throws with its place. */
export function parseTemplates(content, source) {
  return content
    .split(/^---\s*$/m)
    .map((block) => block.trim())
    .filter(Boolean)
    .map((block, index) => {
      const place = `${source}, template ${index + 1}`;
      const [head, ...paragraphs] = block.split(/\n\s*\n/);
      const slots = new Map();
      for (const line of head.split("\n")) {
        const [, name, values] = line.match(/^([a-z]+):\s*(.+)$/) ?? [];
        if (name === undefined) throw new Error(`${place}: expected "key: alternatives", found "${line}"`);
        const alternatives = values.split("|").map((value) => value.trim());
        if (alternatives.includes("")) throw new Error(`${place}: an alternative of "${name}" is empty`);
        slots.set(name, alternatives);
      }
      const [about, kind] = [slots.get("about"), slots.get("kind")?.[0] ?? "story"];
      slots.delete("about");
      slots.delete("kind");
      if (about === undefined || paragraphs.length === 0) throw new Error(`${place}: expected "about:" and a text`);
      return { source: place, about, kind, slots, text: paragraphs.map((part) => part.trim()).join("\n\n") };
    });
}

/** Slots of English: a noun with or without its article, names, and the pronouns of hero and friend. */
function castEnglish({ slots }, choice) {
  const { one, next } = choice;
  const value = new Map();
  const { any, he, she } = english;
  const common = next() < 0.8 ? any : [...he, ...she];
  for (const [name, second, other] of [
    ["hero", "", undefined],
    ["friend", "2", "hero"],
  ]) {
    const noun = one((slots.get(name) ?? common).filter((noun) => noun !== value.get(other)));
    const last = noun.split(" ").at(-1);
    const feminine = she.includes(last) || (!he.includes(last) && next() < 0.5);
    value.set(name, noun);
    value.set(`Name${second}`, one(englishNames[feminine ? "she" : "he"].filter((name) => name !== value.get("Name"))));
    for (const [slot, form] of feminine
      ? [
          ["he", "she"],
          ["him", "her"],
          ["his", "her"],
          ["himself", "herself"],
        ]
      : [
          ["he", "he"],
          ["him", "him"],
          ["his", "his"],
          ["himself", "himself"],
        ])
      value.set(`${slot}${second}`, form);
  }
  for (const [name, alternatives] of slots) if (!value.has(name)) value.set(name, one(alternatives));
  const resolve = (slot) => {
    const [, article, name] = slot.match(/^(an? )?(\S+)$/) ?? [];
    const found = value.get(name);
    if (found === undefined) return undefined;
    return article === undefined
      ? found
      : `${/^[aeiou]/i.test(found) && !/^(uni|use|one)/i.test(found) ? "an" : "a"} ${found}`;
  };
  return { resolve, names: ["Name", "Name2"] };
}

/** Slots of Spanish: nouns carry "un" or "una", from which articles, contractions and endings follow. */
function castSpanish({ slots }, choice) {
  const { one } = choice;
  const value = new Map();
  const names = new Map();
  const noun = (name, text) => {
    const [, article, rest] = text.match(/^(una?) (.+)$/) ?? [];
    if (article === undefined) return false;
    value.set(name, { article, rest, feminine: article === "una" });
    return true;
  };
  for (const [name, second, other] of [
    ["hero", "", undefined],
    ["amigo", "2", "hero"],
  ]) {
    noun(name, one((slots.get(name) ?? spanish).filter((text) => text.split(" ")[1] !== value.get(other)?.rest)));
    const list = spanishNames[value.get(name).feminine ? "f" : "m"];
    names.set(`Nombre${second}`, one(list.filter((name) => name !== names.get("Nombre"))));
  }
  for (const [name, alternatives] of slots) {
    if (value.has(name)) continue;
    const text = one(alternatives);
    if (!noun(name, text)) names.set(name, text);
  }
  const bothFeminine = value.get("hero").feminine && value.get("amigo").feminine;
  const forms = {
    un: ({ article, rest }) => `${article} ${rest}`,
    el: ({ feminine, rest }) => `${feminine ? "la" : "el"} ${rest}`,
    del: ({ feminine, rest }) => `${feminine ? "de la" : "del"} ${rest}`,
    al: ({ feminine, rest }) => `${feminine ? "a la" : "al"} ${rest}`,
    o: ({ feminine }) => (feminine ? "a" : "o"),
    lo: ({ feminine }) => (feminine ? "la" : "lo"),
    él: ({ feminine }) => (feminine ? "ella" : "él"),
  };
  const resolve = (slot) => {
    if (slot === "os") return bothFeminine ? "as" : "os";
    const [, form, name] = slot.match(/^(?:(\S+) )?(\S+)$/) ?? [];
    if (form === undefined) return names.get(name) ?? value.get(name)?.rest;
    const found = value.get(name);
    return found === undefined ? undefined : forms[form]?.(found);
  };
  return { resolve, names: ["Nombre", "Nombre2"] };
}

/** One story of a template: `{ topics, kind, text }`, the topics being what a request may name. */
export function expandTemplate(template, language, choice) {
  const { resolve, names } = (language === "es" ? castSpanish : castEnglish)(template, choice);
  const fill = (text) =>
    text.replace(/\{([^{}]*)\}/g, (_, slot) => {
      const found = resolve(slot) ?? (names.includes(slot) ? undefined : resolveCapital(slot, resolve));
      if (found === undefined) throw new Error(`${template.source}: there is no slot "{${slot}}"`);
      return found;
    });
  const chosen = template.text.replace(/\[([^[\]]*)\]/g, (_, alternatives) => choice.one(alternatives.split("|")));
  if (/[[\]|]/.test(chosen)) throw new Error(`${template.source}: brackets are nested or not closed`);
  const text = fill(chosen)
    .replace(/ {2,}/g, " ")
    .replace(/ +([.,!?])/g, "$1")
    .replace(/ *\n */g, "\n")
    .trim();
  if (/[{}]/.test(text)) throw new Error(`${template.source}: a brace is not closed`);
  return { topics: template.about.map(fill), kind: template.kind, text };
}

const resolveCapital = (slot, resolve) => {
  const small = slot.replace(/^\p{Lu}/u, (letter) => letter.toLowerCase());
  const found = small === slot ? undefined : resolve(small);
  return found === undefined ? undefined : capital(found);
};

/** `count` different stories, every template about as often as any other. */
export function makeStories(templates, language, count, choice) {
  const seen = new Set();
  const made = [];
  for (let at = 0; made.length < count; at++) {
    const story = expandTemplate(templates[at % templates.length], language, choice);
    if (seen.has(story.text)) continue;
    seen.add(story.text);
    made.push(story);
  }
  return made;
}
