import { kindOf } from "./document.ts";

type Entry = Readonly<Record<string, unknown>>;

/** What a document or a message is marked with where it is there to be read, not to be learned: OpenAI's name, and others'. */
const marks = ["weight", "train", "loss"];

/**
 * Whether an entry is to be learned, by its own mark: 1, true or none; not with 0 or false. Undefined without a mark.
 * @param refuse told the name and what is wrong with any other value: a half is nothing that training does.
 */
export function markOf(entry: Entry, refuse: (name: string, what: string) => never): boolean | undefined {
  let learned: boolean | undefined;
  for (const name of marks) {
    const value = Object.hasOwn(entry, name) ? entry[name] : undefined;
    if (value === undefined || value === null) continue;
    if (value !== 0 && value !== 1 && typeof value !== "boolean") {
      refuse(name, `expected 0 or 1, found ${typeof value === "number" ? value : kindOf(value)}`);
    }
    learned = learned !== false && (value === 1 || value === true);
  }
  return learned;
}

export function withoutMarks(entry: Entry): Entry {
  return Object.fromEntries(Object.entries(entry).filter(([name]) => !marks.includes(name)));
}

/** Entries that would change what is learned, in ways that this training has not; what to do in place of each. */
const foreign: Readonly<Record<string, string>> = {
  rejected: "preferences between answers are not learned: leave the answer that is to be learned, alone",
  history: 'earlier turns beside a prompt are not read: write them as "messages"',
  functions: 'functions have another name today: write them as "tools"',
};

/**
 * @param used names that the source itself gives a meaning
 * @param refuse told the name of an entry that is not followed, and why
 */
export function checkForeign(
  entry: Entry,
  used: readonly string[],
  refuse: (name: string, what: string) => never,
): void {
  for (const [name, what] of Object.entries(foreign)) {
    if (used.includes(name) || (name === "rejected" && used.includes("chosen"))) continue;
    const value = Object.hasOwn(entry, name) ? entry[name] : undefined;
    const isEmpty = Array.isArray(value) && value.length === 0;
    if (value !== undefined && value !== null && value !== "" && !isEmpty) refuse(name, what);
  }
  if (typeof entry.label === "boolean" && !used.includes("label")) {
    refuse("label", "whether an answer is wanted is not learned: leave out those that are not");
  }
}
