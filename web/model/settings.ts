import { effect, signal } from "@preact/signals";
import { type Language, languages, preferredLanguage } from "../text/strings.ts";
import type { Adapter, Sampling } from "./server.ts";
import { recall, store } from "./storage.ts";

export type Theme = "system" | "light" | "dark";

/** What somebody prefers, kept in their browser. What is absent is as the server has it. */
export interface Settings extends Partial<Sampling> {
  readonly language: Language;
  readonly theme: Theme;
  readonly system: string;
  readonly model?: string;
  readonly max_tokens?: number;
  readonly seed?: number;
  /** Strengths of adapters by their names; 0 is off. */
  readonly adapters: Readonly<Record<string, number>>;
  readonly live: boolean;
}

/** From here on the live view and the conversations have places beside the conversation. */
export const wide = matchMedia("(min-width: 68rem)");

const place = "grok1.settings";

const numbers = ["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens", "seed"] as const;

export const settings = signal<Settings>({
  ...{
    language: preferredLanguage(navigator.languages),
    theme: "system",
    system: "",
    adapters: {},
    live: wide.matches,
  },
  ...read(recall(place)),
});

/**
 * The adapters of a model, each as strong as it was chosen to be; 0 is off. Where nothing was chosen the only one is as it was loaded,
 * and of several none: each was made for a use of its own.
 */
export function adapterStrengths(adapters: readonly Adapter[]): Adapter[] {
  const usual = (scale: number) => (adapters.length === 1 ? scale : 0);
  return adapters.map(({ name, scale }) => ({ name, scale: settings.value.adapters[name] ?? usual(scale) }));
}

export function change(changes: { readonly [K in keyof Settings]?: Settings[K] | undefined }): void {
  const kept = Object.entries({ ...settings.value, ...changes }).filter(([, value]) => value !== undefined);
  settings.value = Object.fromEntries(kept) as unknown as Settings;
}

effect(() => {
  const { language, theme } = settings.value;
  document.documentElement.lang = language;
  document.documentElement.dataset.theme = theme;
  store(place, JSON.stringify(settings.value));
});

/** What was stored, read without trust. */
function read(text: string | null): Partial<Settings> {
  let found: Record<string, unknown>;
  try {
    found = Object(JSON.parse(text ?? "{}"));
  } catch {
    return {};
  }
  const { language, theme, system, model, live, adapters } = found;
  return {
    ...Object.fromEntries(numbers.filter((name) => typeof found[name] === "number").map((name) => [name, found[name]])),
    ...(languages.includes(language as Language) && { language: language as Language }),
    ...(["system", "light", "dark"].includes(theme as string) && { theme: theme as Theme }),
    ...(typeof system === "string" && { system }),
    ...(typeof model === "string" && { model }),
    ...(typeof live === "boolean" && { live }),
    ...(typeof adapters === "object" && adapters !== null && { adapters: strengthsOf(adapters) }),
  };
}

function strengthsOf(value: object): Record<string, number> {
  return Object.fromEntries(Object.entries(value).filter(([, strength]) => typeof strength === "number"));
}
