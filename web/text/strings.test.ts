import { expect, it } from "vitest";
import { languages, preferredLanguage, say, sayBytes, sayShare, type Table, tables } from "./strings.ts";

const places = (text: unknown) => [...JSON.stringify(text).matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

it("has every text in every language, with the same places to fill in", () => {
  for (const language of languages) {
    const table = tables[language] as Table;
    expect(Object.keys(table), language).toEqual(Object.keys(tables.en));
    for (const [key, text] of Object.entries(table)) {
      const english = tables.en[key as keyof Table];
      expect(places(text), `${language}: ${key}`).toEqual(places(english));
      for (const form of typeof text === "string" ? [text] : Object.values(text)) expect(form, key).toMatch(/\S/);
    }
  }
});

it("has no text that nobody says", () => {
  const sources = import.meta.glob<string>("../{model,view}/*.{ts,tsx}", {
    query: "?raw",
    import: "default",
    eager: true,
  });
  const all = Object.values(sources).join("\n");
  expect(Object.keys(tables.en).filter((key) => key !== "language" && !all.includes(`"${key}"`))).toEqual([]);
});

it("says nothing in Spanish that is still English", () => {
  const same = Object.keys(tables.en).filter((key) => {
    const [english, spanish] = [tables.en[key as keyof Table], tables.es[key as keyof Table]];
    return JSON.stringify(english) === JSON.stringify(spanish);
  });
  expect(same.sort()).toEqual(["measures", "minP", "statusSpeed", "tokenTitle", "tokenValue", "topK", "topP"]);
});

it("fills in places, chooses forms, and writes numbers as the language does", () => {
  expect(say("en", "statusRunning", { n: 1 })).toBe("1 answer under way");
  expect(say("en", "statusRunning", { n: 1200 })).toBe("1,200 answers under way");
  expect(say("es", "emptyTitle", { model: "{model}" })).toBe("Habla con {model}");
  expect(sayBytes("en", 25_276_510_208)).toBe("25.3 GB");
  expect(sayBytes("en", 0)).toBe("0 bytes");
  expect([
    sayShare("en", 0.994),
    sayShare("en", 0.0123),
    sayShare("en", 0.0005),
    sayShare("en", 1e-9),
    sayShare("en", 0),
  ]).toEqual([...["99%", "1.2%", "0.05%", "< 0.01%", "0%"]]);
});

it("takes the first language that somebody asks for and that there is", () => {
  expect(preferredLanguage(["de-DE", "es-419", "en"])).toBe("es");
  expect(preferredLanguage(["EN-gb"])).toBe("en");
  expect(preferredLanguage(["fr"])).toBe("en");
});
