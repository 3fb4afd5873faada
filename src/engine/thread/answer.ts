import type { OnScored } from "../consumers/score.ts";
import type { Core } from "../core.ts";
import { type EngineValue, errorToData, type FromEngine, type Port, packTop, type ToEngine } from "./protocol.ts";

export interface AnswerOptions {
  readonly core: Core;
  /** After everything is freed. */
  readonly onClose?: () => void;
}

/** Answers a caller's messages with a core. */
export function answerMessages(port: Port, { core, onClose }: AnswerOptions): void {
  let waiting: FromEngine[] = [];
  // What a pass gives all its sequences crosses together: each crossing wakes the other thread.
  const post = (message: FromEngine) => {
    if (waiting.push(message) === 1) queueMicrotask(flush);
  };
  function flush(): void {
    if (waiting.length > 0) port.postMessage(waiting);
    waiting = [];
  }

  async function answer(message: ToEngine): Promise<EngineValue> {
    switch (message.type) {
      case "open":
        core.openSession(message.session);
        return undefined;
      case "fork":
        core.forkSession(message.from, message.session);
        return undefined;
      case "release":
        core.closeSession(message.session);
        return undefined;
      case "generate": {
        const { id, session, request } = message;
        const onTokens: Parameters<Core["generate"]>[3] = (tokens, logprobs, experts) =>
          post({ type: "tokens", id, tokens, logprobs, experts });
        return await core.generate(id, session, request, onTokens, (computed) =>
          post({ type: "prompt", id, computed }),
        );
      }
      case "cancel":
        core.cancel(message.id);
        return undefined;
      case "score": {
        const { id, texts, options } = message;
        const onScored: OnScored = (index, logprobs, top) =>
          post({ type: "scored", id, index, logprobs, top: packTop(top) });
        return await core.score(id, texts, { ...options, onScored });
      }
      case "logits":
        return await core.logits(message.id, message.tokens, message.layers);
      case "embed":
        return await core.embed(message.id, message.texts, message.options);
      case "bench":
        return await core.bench(message.id, message.options);
      case "status":
        return core.status();
      case "close":
        await core.close();
        return undefined;
    }
  }

  port.on("message", async (received) => {
    const message = received as ToEngine;
    try {
      const value = await answer(message);
      if (message.type !== "open" && message.type !== "cancel") post({ type: "done", id: message.id, value });
    } catch (error) {
      if (message.type !== "open" && message.type !== "cancel") {
        post({ type: "error", id: message.id, error: errorToData(error) });
      }
    }
    if (message.type !== "close") return;
    flush();
    onClose?.();
  });
}
