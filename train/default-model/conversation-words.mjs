/** What is said in the conversations of our own, by language. */
import { english } from "./conversation-words.en.mjs";
import { spanish } from "./conversation-words.es.mjs";

export const languages = { en: english, es: spanish };
