import type { ChatOptions, GenerateOptions, Generation, LanguageModel, Session } from "../generate/types.ts";

/** What a server has to say about all that is generated, whichever API asked for it. */
export interface Oversight {
  /** What a generation is asked with, of what a dialect made of its request. */
  settle<T extends GenerateOptions | ChatOptions>(options: T): T;
}

/** A model, all of whose generations are overseen. */
export function overseeModel(model: LanguageModel, { settle }: Oversight): LanguageModel {
  type Place = Pick<Session, "generate" | "chat">;
  const overseen = (place: Place): Place => ({
    generate: (prompt, options = {}): Generation => place.generate(prompt, settle(options)),
    chat: (messages, options = {}): Generation => place.chat(messages, settle(options)),
  });
  const overseenSession = (session: Session): Session => ({
    ...session,
    ...overseen(session),
    fork: () => overseenSession(session.fork()),
  });
  // Whatever else a model has is its own, what it works out when it is asked for it too.
  return Object.assign(Object.create(model) as LanguageModel, overseen(model), {
    session: () => overseenSession(model.session()),
  });
}
