import { join } from "node:path";
import { parseJson } from "../bytes/json.ts";
import { readTextFile } from "../bytes/text-file.ts";
import { GrokError } from "../errors.ts";
import { usageError } from "./exit.ts";
import { homeFolder } from "./home.ts";

/** Folders after the XDG base directory specification, and after the platform's custom on macOS and Windows. */
function userFolder(kind: "config" | "state", environment: NodeJS.ProcessEnv): string {
  const xdg = environment[kind === "config" ? "XDG_CONFIG_HOME" : "XDG_STATE_HOME"];
  if (xdg) return join(xdg, "grok1");
  const home = homeFolder();
  if (process.platform === "win32") {
    const base = kind === "config" ? environment.APPDATA : environment.LOCALAPPDATA;
    return join(base ?? join(home, "AppData", kind === "config" ? "Roaming" : "Local"), "grok1");
  }
  if (process.platform === "darwin") return join(home, "Library", "Application Support", "grok1");
  return join(home, kind === "config" ? ".config" : join(".local", "state"), "grok1");
}

export function configPath(environment: NodeJS.ProcessEnv): string {
  return join(userFolder("config", environment), "config.json");
}

/** Where the lines typed in a chat are kept. */
export function historyPath(environment: NodeJS.ProcessEnv): string {
  return join(userFolder("state", environment), "history");
}

type Single = string | number | boolean;
type ConfigValue = Single | readonly Single[];

const isSingle = (value: unknown): value is Single => ["string", "number", "boolean"].includes(typeof value);

/** The config file's entries; none when there is no such file. @throws GrokError `argument` naming the file. */
export function readConfig(path: string): ReadonlyMap<string, ConfigValue> {
  let text: string;
  try {
    text = readTextFile(path);
  } catch (error) {
    if (error instanceof GrokError && /^(ENOENT|ENOTDIR)$/.test(String(error.details.code))) return new Map();
    throw error;
  }
  let document: unknown;
  try {
    document = parseJson(text);
  } catch (error) {
    throw usageError(`${path}: expected JSON: ${(error as Error).message}`);
  }
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    throw usageError(`${path}: expected one JSON object, such as {"model": "FILE", "temperature": 0.7}`);
  }
  const entries = new Map<string, ConfigValue>();
  for (const [key, value] of Object.entries(document)) {
    if (!(isSingle(value) || (Array.isArray(value) && value.every(isSingle)))) {
      throw usageError(`${path}: "${key}" expects text, a number, true or false, or a list of them`);
    }
    entries.set(key, value);
  }
  return entries;
}
