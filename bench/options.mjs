// Command line options of a bench: what is wrong with them, or with a file they name, is said in one line, and --help shows the
// script's own header.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** The default of an option that has to be given, and of one that need not be. */
export const required = Symbol("required");
export const optional = Symbol("optional");

/**
 * Options by name. A default says what an option is: a number (0 or more), a text, `false` for a flag.
 * @param script the script's `import.meta.url`
 * @param names of the arguments that are no options; of the last there may be more, and all of it is a list.
 */
export function readOptions(script, defaults, names = []) {
  const path = fileURLToPath(script);
  const refuse = (message, status = 2) => {
    console.error(`${basename(path)}: ${message}`);
    process.exit(status);
  };
  process.on("uncaughtException", (error) => {
    // What the library or the system says is for people to read; anything else is a defect, and shows its stack.
    refuse(error.name === "GrokError" || error.syscall !== undefined ? error.message : error.stack, 1);
  });
  const options = { help: { type: "boolean", default: false } };
  for (const [name, fallback] of Object.entries(defaults)) {
    options[name] = { type: fallback === false ? "boolean" : "string" };
  }
  const read = () => {
    try {
      return parseArgs({ options, allowPositionals: names.length > 0 });
    } catch (error) {
      return refuse(`${error.message.split(". ")[0]}; --help lists the options`);
    }
  };
  const {
    values: { help, ...given },
    positionals,
  } = read();
  if (help) {
    const header = /^(?:\/\/.*\n)+/.exec(readFileSync(path, "utf8"))[0];
    process.stdout.write(header.replaceAll(/^\/\/ ?/gm, ""));
    process.exit(0);
  }
  const lacking = names[positionals.length];
  if (lacking !== undefined) refuse(`${lacking} is needed; --help shows how it is called`);
  const values = Object.fromEntries(names.map((name, i) => [name, positionals[i]]));
  if (names.length > 0) values[names.at(-1)] = positionals.slice(names.length - 1);
  for (const [name, fallback] of Object.entries(defaults)) {
    const value = given[name] ?? fallback;
    if (value === required) refuse(`--${name} is needed; --help lists the options`);
    values[name] = value === optional ? undefined : typeof fallback === "number" ? Number(value) : value;
    if (Number.isNaN(values[name]) || values[name] < 0) refuse(`--${name} is ${value}, expected a number`);
  }
  return values;
}
