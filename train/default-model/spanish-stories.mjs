/** Short stories in Spanish of our own, made from parts: there is little for children in Spanish that may be used. */

const heroes = {
  m: (
    "gato perro zorro conejo dragón oso ratón león pájaro pez burro lobo elefante mono sapo caballo pato erizo niño príncipe " +
    "robot pirata gigante fantasma"
  ).split(" "),
  f: (
    "tortuga rana niña abeja mariposa hormiga vaca oveja gallina princesa ardilla ballena paloma gata bruja araña cabra " +
    "jirafa estrella nube sirena"
  ).split(" "),
};
const names = {
  m: ["Leo", "Tomás", "Nico", "Pepe", "Beto", "Simón", "Bruno", "Hugo", "Paco", "Lucas"],
  f: ["Lola", "Ana", "Rosa", "Nina", "Clara", "Luna", "Sara", "Mía", "Julia", "Pepa"],
};
const adjectives = ["pequeñ", "tímid", "curios", "alegre", "valiente", "perezos", "simpátic", "buen"];
const places = [
  "en el bosque",
  "cerca del río",
  "en una casa pequeña",
  "en lo alto de una montaña",
  "junto al mar",
  "en un pueblo tranquilo",
  "en una granja",
  "al lado de un lago",
  "en un jardín lleno de flores",
];
/** A thing: article, noun with its adjective, gender. */
const things = [
  ["una", "llave dorada", "f"],
  ["un", "globo rojo", "m"],
  ["una", "pelota azul", "f"],
  ["un", "libro viejo", "m"],
  ["un", "sombrero verde", "m"],
  ["una", "piedra brillante", "f"],
  ["un", "barco de papel", "m"],
  ["una", "campana de plata", "f"],
  ["un", "tambor pequeño", "m"],
  ["una", "muñeca de trapo", "f"],
  ["una", "cometa amarilla", "f"],
  ["un", "anillo", "m"],
];
const foods = [
  ["un", "pan caliente", "m"],
  ["una", "manzana roja", "f"],
  ["un", "pastel de miel", "m"],
  ["una", "sopa muy rica", "f"],
  ["una", "galleta grande", "f"],
  ["un", "queso redondo", "m"],
];
const fears = ["la oscuridad", "los truenos", "el agua", "las alturas", "el viento"];
const skills = ["cantar", "nadar", "bailar", "leer", "pintar", "tocar el tambor", "contar cuentos"];
const beginnings = ["Había una vez", "Érase una vez", "Hace mucho tiempo había"];
const endings = [
  "Desde ese día fueron muy buenos amigos.",
  "Y vivieron felices.",
  "Y colorín colorado, este cuento se ha acabado.",
  "Esa noche todos durmieron contentos.",
  "Y nunca olvidaron ese día.",
];

const capital = (text) => text.replace(/\p{L}/u, (letter) => letter.toUpperCase());

/** A hero: how the story names it, and the words that agree with it. */
function castHero({ one, next }, without) {
  const gender = next() < 0.5 ? "m" : "f";
  const noun = one(heroes[gender].filter((word) => word !== without?.noun));
  const name = one(names[gender].filter((word) => word !== without?.name));
  const end = gender === "m" ? "o" : "a";
  const stem = one(adjectives);
  const adjective = stem.endsWith("e") ? stem : stem + end;
  const [a, the, it] = gender === "m" ? ["un", "el", "lo"] : ["una", "la", "la"];
  return { gender, noun, name, end, a, the, it, adjective, described: `${a} ${noun} ${adjective}` };
}

const meets = (friend) => `${friend.the} ${friend.noun} ${friend.name}`;
const begin = ({ one }, hero, place) =>
  one([
    `${one(beginnings)} ${hero.described} que vivía ${place}. Se llamaba ${hero.name}.`,
    `${one(beginnings)} ${hero.described} que se llamaba ${hero.name} y vivía ${place}.`,
    `${capital(place)} vivía ${hero.described}. Su nombre era ${hero.name}.`,
  ]);

/** Each gives a story's paragraphs, and the thing it is about beside its hero. */
const plots = [
  function find(choice, hero, friend, place) {
    const { one } = choice;
    const [a, thing, gender] = one(things);
    const it = gender === "m" ? "lo" : "la";
    return {
      about: `${a} ${thing}`,
      text: [
        `${begin(choice, hero, place)} Un día, ${hero.name} encontró ${a} ${thing} en el camino. "¿De quién será?", pensó.`,
        `${hero.name} preguntó a todos sus vecinos, pero nadie sabía nada. Entonces vio a ${meets(friend)}, que estaba llorando. "He perdido ${a} ${thing}", dijo ${friend.name}. "¿Es ${gender === "m" ? "este" : "esta"}?", preguntó ${hero.name}. ${friend.name} ${it} miró y dio un salto de alegría.`,
        one([
          `"¡Muchas gracias!", dijo ${friend.name}. "Eres muy buen${hero.gender === "m" ? "o" : "a"}."`,
          `${friend.name} le dio un abrazo muy fuerte. "¡Gracias, ${hero.name}!", dijo.`,
        ]),
      ],
    };
  },
  function share(choice, hero, friend, place) {
    const { one } = choice;
    const [a, food, gender] = one(foods);
    const it = gender === "m" ? "lo" : "la";
    return {
      about: `${a} ${food}`,
      text: [
        `${begin(choice, hero, place)} Una mañana, ${hero.name} tenía ${a} ${food} y mucha hambre.`,
        `En ese momento pasó ${meets(friend)}. "No he comido nada hoy", dijo ${friend.name} en voz baja. ${hero.name} pensó un poco. "Ven, siéntate conmigo", dijo. "${gender === "m" ? "Lo" : "La"} podemos compartir."`,
        `Los dos comieron juntos y hablaron hasta la tarde. "Todo sabe mejor con un amigo", dijo ${hero.name}.${one(["", ` Al día siguiente, ${friend.name} trajo fruta para ${hero.name}.`, ` ${hero.name} ${it} había compartido, y estaba feliz.`])}`,
      ],
    };
  },
  function fear(choice, hero, friend, place) {
    const { one } = choice;
    const fear = one(fears);
    return {
      about: undefined,
      text: [
        `${begin(choice, hero, place)} ${hero.name} tenía miedo de ${fear}, y por eso casi nunca salía de su casa.`,
        `Un día oyó una voz. Era ${meets(friend)}. "¡Ayuda!", gritaba. "¡No puedo salir de aquí!" ${hero.name} temblaba, pero pensó en su vecin${friend.end}. Respiró hondo, salió corriendo y ${friend.it} ayudó.`,
        one([
          `"¡Qué valiente eres!", dijo ${friend.name}. ${hero.name} sonrió. Ya no tenía tanto miedo.`,
          `"Yo también tengo miedo a veces", dijo ${friend.name}. "Con un amigo se pasa." Y era verdad.`,
        ]),
      ],
    };
  },
  function learn(choice, hero, friend, place) {
    const { one } = choice;
    const skill = one(skills);
    return {
      about: undefined,
      text: [
        `${begin(choice, hero, place)} ${hero.name} quería aprender a ${skill}, pero no le salía bien. "Nunca voy a poder", decía.`,
        `${capital(meets(friend))} ${hero.it} escuchó y le dijo: "Yo te enseño. Un poco cada día." El primer día fue difícil. El segundo día fue un poco mejor. ${hero.name} no se rindió.`,
        `Después de muchos días, ${hero.name} pudo ${skill} delante de todos. Sus amigos aplaudieron. "¡Lo lograste!", dijo ${friend.name}.`,
      ],
    };
  },
  function lost(choice, hero, friend, place) {
    const { one } = choice;
    return {
      about: undefined,
      text: [
        `${begin(choice, hero, place)} Una tarde, ${hero.name} fue a pasear y caminó muy lejos. Cuando se hizo de noche, no sabía volver a su casa.`,
        `${hero.name} empezó a llorar. ${one(["La luna brillaba en el cielo.", "Hacía frío y todo estaba en silencio."])} De pronto apareció ${meets(friend)}. "¿Por qué lloras?", preguntó. "No encuentro mi casa", dijo ${hero.name}. "No te preocupes. Yo conozco el camino."`,
        `Caminaron juntos toda la noche. Por la mañana vieron la casa. La mamá de ${hero.name} salió a la puerta y ${hero.it} abrazó. "Gracias, ${friend.name}", dijo. "Quédate a desayunar."`,
      ],
    };
  },
  function race(choice, hero, friend, place) {
    const { one } = choice;
    return {
      about: `${friend.a} ${friend.noun}`,
      text: [
        `${begin(choice, hero, place)} ${hero.name} siempre decía: "Soy ${hero.gender === "m" ? "el más rápido" : "la más rápida"} de todos." Un día, ${meets(friend)} le dijo: "Hagamos una carrera hasta ${one(["el árbol grande", "el puente", "la colina"])}."`,
        `${hero.name} corrió mucho al principio. Luego pensó que ya había ganado y se sentó a dormir. ${friend.name} iba despacio, pero no paró.`,
        `Cuando ${hero.name} despertó, ${friend.name} ya había llegado. "Has ganado", dijo ${hero.name}. "Otra vez no voy a presumir." ${one(["Los dos se rieron.", "Y volvieron juntos a casa."])}`,
      ],
    };
  },
  function plant(choice, hero, friend, place) {
    const { one } = choice;
    const plant = one(["una flor", "un árbol", "una calabaza", "un rosal"]);
    return {
      about: plant,
      text: [
        `${begin(choice, hero, place)} Un día, ${hero.name} plantó una semilla. Quería tener ${plant}.`,
        `Cada mañana le daba agua, pero no salía nada. "Esto no sirve", dijo ${hero.name}. ${capital(meets(friend))} le contestó: "Las cosas buenas necesitan tiempo. Espera un poco más."`,
        `${hero.name} esperó. Llovió, y después salió el sol. Una mañana vio algo verde en la tierra. ¡Era ${plant}, muy pequeñ${plant.startsWith("una") ? "a" : "o"} todavía! ${hero.name} bailó de alegría.`,
      ],
    };
  },
  function gift(choice, hero, friend, place) {
    const { one } = choice;
    const [a, thing] = one(things);
    return {
      about: `${a} ${thing}`,
      text: [
        `${begin(choice, hero, place)} Era el cumpleaños de ${meets(friend)}, y ${hero.name} no tenía ningún regalo.`,
        `${hero.name} buscó en toda la casa. Al final encontró ${a} ${thing}. Era lo que más quería. "Se lo voy a dar a ${friend.name}", decidió.`,
        `Cuando ${friend.name} abrió el regalo, ${one(["sus ojos brillaron", "no podía hablar de alegría"])}. "Es el mejor regalo del mundo", dijo. "Podemos jugar juntos." Y jugaron toda la tarde.`,
      ],
    };
  },
  function storm(choice, hero, friend, place) {
    const { one } = choice;
    return {
      about: "la lluvia",
      text: [
        `${begin(choice, hero, place)} Una noche llovió muchísimo. El viento soplaba y ${hero.name} cerró bien la puerta.`,
        `Toc, toc. "¿Quién es?", preguntó ${hero.name}. "Soy ${friend.name}. Mi casa se ha llenado de agua." Era ${friend.a} ${friend.noun} que estaba tod${friend.end} mojad${friend.end}. ${one(["La casa era pequeña, pero", "Tenía poco sitio, pero"])} ${hero.name} abrió la puerta.`,
        `Bebieron chocolate caliente y contaron historias. Por la mañana salió el sol y había un arcoíris. ${hero.name} ayudó a ${friend.name} a limpiar su casa.`,
      ],
    };
  },
  function truth(choice, hero, friend, place) {
    const { one } = choice;
    const broken = one(["el vaso azul", "el plato", "la taza", "el espejo"]);
    return {
      about: undefined,
      text: [
        `${begin(choice, hero, place)} Un día, jugando en casa de ${meets(friend)}, ${hero.name} rompió ${broken}. Nadie ${hero.it} vio.`,
        `"¿Quién ha sido?", preguntó ${friend.name}. ${hero.name} tenía mucha vergüenza. Pensó en decir que había sido el viento. Pero al final dijo: "He sido yo. Lo siento mucho."`,
        `${friend.name} no se enfadó. "Gracias por decir la verdad", dijo. "Eso vale más que ${broken}." Juntos recogieron los trozos. ${one(["", `${hero.name} se sintió mucho mejor.`])}`.trim(),
      ],
    };
  },
];

/** Contractions, and the plural of two heroines. */
function agree(text, feminine) {
  const contracted = text.replace(/\bde el /g, "del ").replace(/\ba el /g, "al ");
  if (!feminine) return contracted;
  return contracted
    .replace(/juntos/g, "juntas")
    .replace(/\bLos dos\b/g, "Las dos")
    .replace("buenos amigos", "buenas amigas");
}

/** `count` different stories `{ hero, about, text }`; `about` is a further thing they tell of, where there is one. */
export function makeSpanishStories(count, choice) {
  const seen = new Set();
  const made = [];
  while (made.length < count) {
    const hero = castHero(choice);
    const friend = castHero(choice, hero);
    const { about, text } = choice.one(plots)(choice, hero, friend, choice.one(places));
    const whole = agree(`${text.join("\n\n")} ${choice.one(endings)}`, hero.gender === "f" && friend.gender === "f");
    if (seen.has(whole)) continue;
    seen.add(whole);
    made.push({ hero: `${hero.a} ${hero.noun}`, about, text: whole });
  }
  return made;
}
