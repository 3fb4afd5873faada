import { en } from "./en.ts";
import { es } from "./es.ts";

/** A text, or its forms by a number: one, and any other. */
type Text<T> = T extends string ? string : { readonly one: string; readonly other: string };

export type Table = { readonly [K in keyof typeof en]: Text<(typeof en)[K]> };

export const tables = { en, es } as const satisfies Record<string, Table>;

export type Language = keyof typeof tables;

export const languages = Object.keys(tables) as readonly Language[];

type Values = Readonly<Record<string, string | number>>;

/** A text of a language's table; numbers are written as the language does, and `n` chooses the form. */
export function say(language: Language, key: keyof Table, values: Values = {}): string {
  const found = (tables[language] as Table)[key];
  const one = new Intl.PluralRules(language).select(Number(values.n ?? 0)) === "one";
  const text = typeof found === "string" ? found : one ? found.one : found.other;
  return text.replace(/\{(\w+)\}/g, (place, name: string) => {
    const value = values[name];
    if (value === undefined) return place;
    return typeof value === "number" ? value.toLocaleString(language) : value;
  });
}

/** The language that somebody's browser asks for first, of those that there are. */
export function preferredLanguage(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const found = languages.find((language) => tag.toLowerCase().split("-")[0] === language);
    if (found !== undefined) return found;
  }
  return "en";
}

const byteUnits = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

/** Bytes in the unit that leaves one to three digits before the point. */
export function sayBytes(language: Language, bytes: number): string {
  const power = Math.min(byteUnits.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return new Intl.NumberFormat(language, {
    ...{ style: "unit", unit: byteUnits[power]!, unitDisplay: power === 0 ? "long" : "short" },
    maximumSignificantDigits: 3,
  }).format(bytes / 1000 ** power);
}

export function sayShare(language: Language, share: number): string {
  if (share > 0 && share < 0.0001) return `< ${sayShare(language, 0.0001)}`;
  const digits = share > 0 && share < 0.01 ? 2 : share < 0.1 ? 1 : 0;
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: digits }).format(share);
}

export function sayNumber(language: Language, value: number, digits = 0): string {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

/** Large counts in words: 11.7 M, 314 mil M. */
export function sayCount(language: Language, value: number): string {
  return new Intl.NumberFormat(language, { notation: "compact", maximumSignificantDigits: 3 }).format(value);
}
