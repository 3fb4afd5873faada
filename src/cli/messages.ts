import { counted } from "../errors.ts";

/** The texts of the chat and of the first run, in the languages that they come in. */

export type Language = "en" | "es";

const english = {
  noModel: (
    folder: string,
    config: string,
  ) => `grok1 runs language models on this computer, and has not been told which one.

  Name a GGUF model file in one of these ways:

    grok1 chat -m FILE                 this time
    export GROK1_MODEL=FILE            in this shell
    {"model": "FILE"}                  always, in ${config}

  or put it here, where it is found by itself:

    ${folder}

  grok1 runs the grok architecture (Grok-1, Grok-2) and the llama family (Llama 2 and 3, Mixtral, SmolLM2 ...).
  Files of this kind are published under the name GGUF on model sites such as huggingface.co; a small one to begin
  with is SmolLM2-135M-Instruct, about 100 MB.

  grok1 inspect FILE   what is in a file           grok1 doctor   whether this computer is set up well
  grok1 --help         all commands
`,
  welcome: (model: string, context: number) =>
    `${model}, ${counted(context, "token")} of context. /help for help, /exit to leave.`,
  packagedModel:
    "This is the package's own small model: ask it for a story, in English. -m FILE talks with another one.",
  plainTemplate: "This model has no chat template: it may not be made for conversation.",
  systemFolded:
    "This model's chat template has no place for a system message: its text goes in front of the first question.",
  help: `  /help                  this list
  /clear                 forget the conversation
  /system TEXT           tell the model how to behave, from a new conversation on; without TEXT, show it
  /set OPTION VALUE      set an option for the answers to come; without arguments, show them all
  /lora NAME[:SCALE]     answer with this adapter of those given with --lora (or several); off: none; all; alone: list
  /save FILE             write the conversation to a file (JSON)
  /load FILE             go on with a conversation from a file
  /retry                 answer the last question again
  /exit                  leave; so does Ctrl-D

  A line that ends in \\ goes on in the next one. """ on a line of its own begins and ends several lines.
  Ctrl-C stops an answer; at the prompt, twice Ctrl-C leaves.
`,
  cleared: "The conversation is forgotten.",
  systemSet: "Set. The conversation begins anew.",
  systemNone: "No system message.",
  optionSet: (name: string, value: string) => `${name} is ${value}.`,
  optionDefault: "default",
  optionUnknown: (name: string, known: string) => `There is no option ${name}. Options: ${known}.`,
  optionInvalid: (name: string, value: string, why: string) => `${name}: ${value} does not do. ${why}`,
  noAdapters: "The model was loaded without adapters: --lora FILE loads one.",
  adapterOff: "off",
  adapterUnknown: (name: string, known: string) => `There is no adapter ${name}. Adapters: ${known}.`,
  saved: (path: string, count: number) => `${counted(count, "message")} written to ${path}.`,
  overwrites: (path: string) => `${path} is there already. Overwrite it? (y/n)`,
  yes: ["y", "yes"],
  no: ["", "n", "no"],
  notDone: "It stays as it is.",
  reading: (done: number, total: number) => `reading: ${done} of ${counted(total, "token")}`,
  loaded: (path: string, count: number) => `${counted(count, "message")} read from ${path}.`,
  needsFile: (command: string) => `${command} needs a file name.`,
  nothingToRetry: "There is nothing to answer again.",
  unknownCommand: (command: string, near: string | undefined) =>
    `There is no command ${command}.${near ? ` Did you mean ${near}?` : ""} /help lists them.`,
  stats: (tokens: number, rate: string) => `${counted(tokens, "token")}, ${rate} tokens/s`,
  stopped: "stopped",
  reachedLength: "cut at the greatest length (--max-tokens)",
  contextFull: "The context is full: /clear begins anew, and --context N makes room for more.",
  beginningLeftOut: "The beginning of the conversation no longer fits into the context: the model sees the rest.",
  againToLeave: "Ctrl-C again leaves; so does /exit.",
  slowBackend: (reason: string) =>
    `The compiled addon is missing (${reason}): this will be slow. grok1 doctor says more.`,
  duplicatePieces: (count: number) =>
    `Pieces of the model's vocabulary that are there again under a later id, which is the one that texts get: ${count}.`,
};

/** What readers of options expect, as they say it in English. */
const expectations: readonly [RegExp, string][] = [
  [/^Expected a whole number from (\S+) to (\S+)\.$/, "Se espera un número entero de $1 a $2."],
  [/^Expected a whole number of at least (\S+)\.$/, "Se espera un número entero de al menos $1."],
  [/^Expected a number from (\S+) to (\S+)\.$/, "Se espera un número de $1 a $2."],
  [/^Expected a number of at least (\S+)\.$/, "Se espera un número de al menos $1."],
  [/^Expected a scale from (\S+) to (\S+)\.$/, "Se espera una escala de $1 a $2."],
];

function expectedInSpanish(why: string): string {
  return expectations.reduce((text, [english, spanish]) => text.replace(english, spanish), why);
}

const spanish: typeof english = {
  noModel: (folder, config) => `grok1 ejecuta modelos de lenguaje en este ordenador, y aún no sabe cuál.

  Indique un archivo de modelo GGUF de una de estas maneras:

    grok1 chat -m ARCHIVO              esta vez
    export GROK1_MODEL=ARCHIVO         en esta terminal
    {"model": "ARCHIVO"}               siempre, en ${config}

  o póngalo aquí, donde se encuentra solo:

    ${folder}

  grok1 ejecuta la arquitectura grok (Grok-1, Grok-2) y la familia llama (Llama 2 y 3, Mixtral, SmolLM2 ...).
  Estos archivos se publican con el nombre GGUF en sitios de modelos como huggingface.co; uno pequeño para
  empezar es SmolLM2-135M-Instruct, de unos 100 MB.

  grok1 inspect ARCHIVO   qué hay en un archivo       grok1 doctor   si este ordenador está bien preparado
  grok1 --help            todas las órdenes
`,
  welcome: (model, context) =>
    `${model}, ${counted(context, "token")} de contexto. /help muestra la ayuda, /exit termina.`,
  packagedModel:
    "Este es el pequeño modelo del propio paquete: pídale un cuento, mejor en inglés. Con -m ARCHIVO se habla con otro.",
  plainTemplate: "Este modelo no trae plantilla de conversación: quizá no esté hecho para conversar.",
  systemFolded:
    "La plantilla de este modelo no admite mensajes de sistema: su texto va delante de la primera pregunta.",
  help: `  /help                  esta lista
  /clear                 olvidar la conversación
  /system TEXTO          decir al modelo cómo comportarse, en una conversación nueva; sin TEXTO, mostrarlo
  /set OPCIÓN VALOR      cambiar una opción para las próximas respuestas; sin argumentos, mostrarlas todas
  /lora NOMBRE[:ESCALA]  responder con este adaptador de los dados con --lora (o varios); off: ninguno; all: todos; solo: lista
  /save ARCHIVO          guardar la conversación en un archivo (JSON)
  /load ARCHIVO          seguir con la conversación de un archivo
  /retry                 responder otra vez a la última pregunta
  /exit                  salir; también Ctrl-D

  Una línea que termina en \\ sigue en la próxima. """ solo en una línea abre y cierra un texto de varias líneas.
  Ctrl-C detiene la respuesta; mientras se espera una pregunta, dos veces Ctrl-C termina.
`,
  cleared: "La conversación está olvidada.",
  systemSet: "Hecho. La conversación empieza de nuevo.",
  systemNone: "No hay mensaje de sistema.",
  optionSet: (name, value) => `${name} es ${value}.`,
  optionDefault: "predeterminado",
  optionUnknown: (name, known) => `No hay opción ${name}. Opciones: ${known}.`,
  optionInvalid: (name, value, why) => `${name}: ${value} no sirve. ${expectedInSpanish(why)}`,
  noAdapters: "El modelo se cargó sin adaptadores: --lora ARCHIVO carga uno.",
  adapterOff: "no se usa",
  adapterUnknown: (name, known) => `No hay adaptador ${name}. Adaptadores: ${known}.`,
  saved: (path, count) => `${count} mensajes guardados en ${path}.`,
  overwrites: (path) => `${path} ya existe. ¿Sobrescribirlo? (s/n)`,
  yes: ["s", "si", "sí", "y"],
  no: ["", "n", "no"],
  notDone: "Queda como está.",
  reading: (done, total) => `leyendo: ${done} de ${counted(total, "token")}`,
  loaded: (path, count) => `${count} mensajes leídos de ${path}.`,
  needsFile: (command) => `${command} necesita un nombre de archivo.`,
  nothingToRetry: "No hay nada que responder otra vez.",
  unknownCommand: (command, near) =>
    `No hay orden ${command}.${near ? ` ¿Quiso decir ${near}?` : ""} /help las muestra todas.`,
  stats: (tokens, rate) => `${counted(tokens, "token")}, ${rate} tokens/s`,
  stopped: "detenida",
  reachedLength: "cortada en la longitud máxima (--max-tokens)",
  contextFull: "El contexto está lleno: /clear empieza de nuevo, y --context N da más lugar.",
  beginningLeftOut: "El principio de la conversación ya no cabe en el contexto: el modelo ve el resto.",
  againToLeave: "Otra vez Ctrl-C termina; también /exit.",
  slowBackend: (reason) => `Falta el complemento compilado (${reason}): irá despacio. grok1 doctor dice más.`,
  duplicatePieces: (count) =>
    `Piezas del vocabulario del modelo que están otra vez con un número posterior, el que reciben los textos: ${count}.`,
};

export type Messages = typeof english;

const languages: Readonly<Record<Language, Messages>> = { en: english, es: spanish };

export const languageNames: readonly Language[] = ["en", "es"];

/** The language asked for, or the one that the locale names (POSIX order: LC_ALL, LC_MESSAGES, LANG), or English. */
export function messagesFor(asked: Language | undefined, environment: NodeJS.ProcessEnv): Messages {
  if (asked !== undefined) return languages[asked];
  const locale =
    environment.LC_ALL || environment.LC_MESSAGES || environment.LANG || Intl.DateTimeFormat().resolvedOptions().locale;
  return /^es([_.@-]|$)/i.test(locale) ? spanish : english;
}
