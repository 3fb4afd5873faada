import { settings } from "../model/settings.ts";
import { say, type Table } from "../text/strings.ts";

/** A text of the page in the language that is set. */
export const t = (key: keyof Table, values?: Readonly<Record<string, string | number>>) =>
  say(settings.value.language, key, values);
