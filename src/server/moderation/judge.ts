import { GrokError } from "../../errors.ts";
import type { LanguageModel } from "../../generate/types.ts";
import type { Moderator } from "./moderator.ts";

/** Characters of a text that a judge reads at most: the latest. */
const longest = 8000;

/** Llama Guard's task, for a judge whose own template does not say it. */
const task = (
  role: string,
  text: string,
) => `Task: Check if there is unsafe content in the message of the ${role} below according to our safety policy.

<BEGIN UNSAFE CONTENT CATEGORIES>
S1: Violent Crimes. S2: Non-Violent Crimes. S3: Sex Crimes. S4: Child Exploitation. S5: Defamation. S6: Specialized Advice. S7: Privacy.
S8: Intellectual Property. S9: Indiscriminate Weapons. S10: Hate. S11: Self-Harm. S12: Sexual Content. S13: Elections.
<END UNSAFE CONTENT CATEGORIES>

<BEGIN CONVERSATION>

${role}: ${text}

<END CONVERSATION>

Provide your safety assessment for the ${role} above: first line must read 'safe' or 'unsafe'. If unsafe, a second line must include a comma-separated list of violated categories.`;

/** A model as judge, in Llama Guard's manner: it says "safe", or "unsafe" and the categories. What is neither is taken for unsafe. */
export function createJudge(open: () => Promise<LanguageModel>): Moderator {
  let opening: Promise<LanguageModel> | undefined;
  /** What could not be loaded is tried again by who comes next: its file may be there by then. */
  async function opened(): Promise<LanguageModel> {
    opening ??= open();
    const mine = opening;
    try {
      return await mine;
    } catch (error) {
      if (opening === mine) opening = undefined;
      throw new GrokError("busy", "moderation cannot be asked: its judge cannot be loaded", {}, error);
    }
  }
  return {
    ...{ window: 400, overlap: 2000, held: 0 },
    async check(text, side, { signal, prefixGroup } = {}) {
      const model = await opened();
      const part = text.slice(-longest);
      // Llama Guard's own template makes the task of a conversation, and looks at its last message.
      const isGuard = /unsafe/i.test(model.chatTemplate ?? "");
      const role = side === "prompt" ? "User" : "Agent";
      const messages = !isGuard
        ? [{ role: "user", content: task(role, part) }]
        : side === "prompt"
          ? [{ role: "user", content: part }]
          : [
              { role: "user", content: "-" },
              { role: "assistant", content: part },
            ];
      const { text: said, finishReason } = await model.chat(messages, {
        temperature: 0,
        maxTokens: 32,
        ...(signal && { signal }),
        ...(prefixGroup !== undefined && { prefixGroup }),
      }).result;
      if (finishReason === "cancelled") throw new GrokError("cancelled", "the client is gone");
      return verdictOf(said);
    },
    async close() {
      await (await opening?.catch(() => undefined))?.close();
    },
  };
}

export function verdictOf(said: string): string | undefined {
  const [first = "", second = ""] = said.trim().toLowerCase().split("\n");
  if (/^safe\b/.test(first)) return undefined;
  if (!/^unsafe\b/.test(first)) return "judge.unclear";
  const categories = second.toUpperCase().match(/\bS\d+\b/g) ?? [];
  return `judge.${categories.join("+") || "unsafe"}`;
}
