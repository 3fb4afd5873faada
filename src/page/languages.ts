import { escapeMarkup } from "../bytes/markup.ts";

/** What a page says, in English and in Spanish. `{name}` is filled in. */
export type Texts = Readonly<Record<string, readonly [english: string, spanish: string]>>;

/** Writes a text in both languages, one of which is shown. */
export type Say<T extends Texts> = (key: keyof T, values?: Readonly<Record<string, string>>) => string;

/** @returns what writes `texts`, whose values are markup. */
export function createSay<T extends Texts>(texts: T): Say<T> {
  return (key, values = {}) => {
    const [english, spanish] = texts[key]!.map((text) =>
      escapeMarkup(text).replace(/\{(\w+)\}/g, (_, name: string) => values[name]!),
    );
    return english === spanish ? english! : `<span lang="en">${english}</span><span lang="es">${spanish}</span>`;
  };
}

export const switcher = `<div class="languages" role="group" aria-label="Language / Idioma"><button type="button" lang="en" data-speak="en" aria-pressed="true">English</button><button type="button" lang="es" data-speak="es" aria-pressed="false">Español</button></div>`;

/**
 * A script's beginning: `speak(language)` shows one language, with its decimal mark, then calls `spoken`, which what follows may set;
 * `wanted` is the browser's language.
 */
export const languageScript = `const root = document.documentElement;
let spoken = () => {};
// Cells and titles of nothing but numbers: what texts say stays as it is.
const numbers = [["td.number, dd.number", "textContent"], ["main [title]", "title"]];
const inLanguage = (number) => number.replace(/(?<=\\d)[.,](?=\\d)/g, root.lang === "es" ? "," : ".");
const speak = (language) => {
  root.lang = root.dataset.language = language;
  for (const [where, what] of numbers) {
    for (const part of document.querySelectorAll(where)) part[what] = inLanguage(part[what]);
  }
  for (const button of document.querySelectorAll("[data-speak]")) {
    button.setAttribute("aria-pressed", String(button.dataset.speak === language));
    button.onclick = () => speak(button.dataset.speak);
  }
  spoken();
};
const wanted = navigator.languages.map((tag) => tag.split("-")[0]).find((tag) => tag === "en" || tag === "es") ?? "en";
`;
