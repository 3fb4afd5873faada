import { batch, signal } from "@preact/signals";
import { say, sayNumber } from "../text/strings.ts";
import { announce, beginAnnouncing } from "./announcements.ts";
import { type AnswerInfo, type Finish, type Message, newId } from "./conversation.ts";
import { messagesOf, setMessages } from "./conversations.ts";
import { see, watch } from "./live.ts";
import { isServerError, type Question, type Trouble } from "./server.ts";
import { connected, details, key, look, modelName, server } from "./serving.ts";
import { adapterStrengths, settings } from "./settings.ts";

/** An answer that comes. */
export interface Answering {
  readonly conversation: string;
  readonly id: string;
  readonly model: string;
  readonly stop: () => void;
}

export const answering = signal<Answering | undefined>(undefined);

/** What it says so far, and what was thought before. */
export const answerText = signal({ text: "", thoughts: "" });

const nothing = { text: "", thoughts: "" };

/** Tokens a second: of the answer that comes, and then of the last one. */
export const speed = signal<number | undefined>(undefined);

/** Why the last question of a conversation has no answer. */
export const failure = signal<
  { readonly conversation: string; readonly trouble: Trouble; readonly message: string } | undefined
>(undefined);

/** Says something, or says it anew in place of the message `from` and all after it. */
export function send(conversation: string, text: string, from?: string): Promise<void> {
  const before = messagesOf(conversation);
  const at = from === undefined ? before.length : before.findIndex(({ id }) => id === from);
  setMessages(conversation, [...before.slice(0, at), { id: newId(), role: "user", content: text }]);
  return answer(conversation);
}

/** Answers the last question, again where it was answered. */
export async function answer(conversation: string): Promise<void> {
  if (answering.value !== undefined || modelName.value === undefined) return;
  const before = messagesOf(conversation);
  const asked = before.slice(0, before.findLastIndex(({ role }) => role === "user") + 1);
  if (asked.length === 0) return;
  setMessages(conversation, asked);
  const gone = new AbortController();
  const under: Answering = { conversation, id: newId(), model: modelName.value, stop: () => gone.abort() };
  batch(() => {
    failure.value = undefined;
    answerText.value = nothing;
    answering.value = under;
  });
  if (settings.value.live) watch(under.id);
  beginAnnouncing();
  const progress = createProgress();
  let finish: Finish = "stop";
  let leftOut: number | undefined;
  try {
    for await (const piece of server.answer(questionOf(under.model, asked), gone.signal)) {
      connected.value = true;
      if (piece.type === "left-out") leftOut = piece.messages;
      else if (piece.type === "end") {
        finish = piece.finish;
        progress.end(piece.tokens);
      } else {
        progress.add(piece.text, piece.thought);
        if (piece.tokens.length > 0) see(under.id, piece.tokens);
        announce(piece.text);
      }
    }
  } catch (error) {
    if (gone.signal.aborted) finish = "stopped";
    else {
      const trouble = isServerError(error) ? error.trouble : "other";
      if (trouble === "key") key.value = { wanted: true, wrong: key.value.secret !== undefined };
      if (trouble === "gone") connected.value = false;
      failure.value = { conversation, trouble, message: error instanceof Error ? error.message : String(error) };
    }
  }
  const { text, thoughts, ...measured } = progress.result();
  const info: AnswerInfo = { model: under.model, ...measured, finish, ...(leftOut !== undefined && { leftOut }) };
  batch(() => {
    const more = thoughts !== "" && { thoughts };
    const said: Message = { id: under.id, role: "assistant", content: text, ...more, answer: info };
    if (text + thoughts !== "") setMessages(conversation, [...messagesOf(conversation), said]);
    answering.value = undefined;
    answerText.value = nothing;
  });
  void look();
  const { language } = settings.value;
  announce(say(language, finish === "stopped" ? "stopped" : "answered", { model: under.model }), true);
}

export const stop = () => answering.value?.stop();

function questionOf(model: string, asked: readonly Message[]): Question {
  const { system, max_tokens, seed, live } = settings.value;
  const { sampling, adapters } = details.value ?? {};
  const { temperature, top_p, top_k, min_p, repetition_penalty } = { ...sampling, ...settings.value };
  const chosen = adapters && adapterStrengths(adapters).filter(({ scale }) => scale !== 0);
  const given = { temperature, top_p, top_k, min_p, repetition_penalty, max_tokens, seed };
  return {
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    model,
    watched: live,
    messages: [
      ...(system.trim() === "" ? [] : [{ role: "system", content: system }]),
      ...asked.map(({ role, content }) => ({ role, content })),
    ],
    ...(chosen && adapters?.length && { adapters: chosen }),
  };
}

/** An answer's text and times. The page is drawn again once a frame, however many pieces come in it. */
function createProgress() {
  const began = performance.now();
  let text = "";
  let thoughts = "";
  let pieces = 0;
  let tokens: number | undefined;
  let first: number | undefined;
  let last = began;
  let drawn: number | undefined;
  const rate = (count: number) =>
    first === undefined || last <= first ? undefined : ((count - 1) / (last - first)) * 1000;
  const draw = () => {
    drawn = undefined;
    answerText.value = { text, thoughts };
    speed.value = rate(pieces) ?? speed.value;
  };
  return {
    add(piece: string, thought: string) {
      last = performance.now();
      first ??= last;
      pieces++;
      text += piece;
      thoughts += thought;
      drawn ??= requestAnimationFrame(draw);
    },
    end(count: number) {
      tokens = count;
      speed.value = rate(count) ?? speed.value;
    },
    result() {
      if (drawn !== undefined) cancelAnimationFrame(drawn);
      const firstSeconds = ((first ?? last) - began) / 1000;
      return { text, thoughts, tokens: tokens ?? pieces, firstSeconds, seconds: (last - (first ?? last)) / 1000 };
    },
  };
}

/** Tokens a second of an answer, in words; undefined for one of a single token. */
export function speedOf({ tokens, seconds }: AnswerInfo): string | undefined {
  return tokens < 2 || seconds <= 0 ? undefined : sayNumber(settings.value.language, (tokens - 1) / seconds);
}
