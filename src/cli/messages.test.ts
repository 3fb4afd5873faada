import { describe, expect, it } from "vitest";
import { messagesFor } from "./messages.ts";

const languageOf = (asked: "en" | "es" | undefined, environment: NodeJS.ProcessEnv) =>
  messagesFor(asked, environment).cleared.startsWith("La") ? "es" : "en";

describe("language of the chat's texts", () => {
  it("follows the locale, in POSIX order, and gives way to --lang", () => {
    expect(languageOf(undefined, { LANG: "es_AR.UTF-8" })).toBe("es");
    expect(languageOf(undefined, { LANG: "es" })).toBe("es");
    expect(languageOf(undefined, { LANG: "est_EE.UTF-8" })).toBe("en");
    expect(languageOf(undefined, { LANG: "es_MX.UTF-8", LC_ALL: "de_DE.UTF-8" })).toBe("en");
    expect(languageOf(undefined, { LANG: "C", LC_MESSAGES: "es_ES.UTF-8" })).toBe("es");
    expect(languageOf("en", { LANG: "es_ES.UTF-8" })).toBe("en");
    expect(languageOf("es", {})).toBe("es");
  });

  it("the first-run screen fits one screen in both languages", () => {
    for (const language of ["en", "es"] as const) {
      const lines = messagesFor(language, {})
        .noModel("/usr/lib/node_modules/grok1/models", "/home/x/.config/grok1/config.json")
        .split("\n");
      expect(lines.length).toBeLessThanOrEqual(24);
      expect(lines.join("\n")).toContain("GROK1_MODEL");
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(118);
    }
  });
});
