import { describeValue, GrokError } from "../errors.ts";

/** Finds stop strings in a text that arrives in pieces, however it is cut. */
export interface StopMatcher {
  /**
   * Takes more text. Gives what is certain, never anything that could still turn out to begin a stop string, and the stop string that has
   * ended the text, once one has.
   */
  push(text: string): { readonly text: string; readonly stop?: string };
  /** The text has ended: what was held back. */
  end(): string;
}

/**
 * The text ends before the stop string that is complete first (of several complete at one place, the longest).
 * Knuth, Morris & Pratt (1977), one automaton for each string: its state is how much of the string the text ends with.
 *
 * @throws GrokError `argument` for what is no list, an empty string or half a character.
 */
export function createStopMatcher(stops: readonly string[]): StopMatcher {
  if (!Array.isArray(stops)) {
    throw new GrokError("argument", `stop is ${describeValue(stops)}, expected a text or a list of texts`, {
      option: "stop",
    });
  }
  const automata = stops.map((stop) => {
    if (typeof stop !== "string" || stop === "" || /\p{Surrogate}/u.test(stop)) {
      throw new GrokError("argument", `stop string: found ${describeValue(stop)}, expected a text of whole characters`);
    }
    return { stop, failure: failureOf(stop), state: 0 };
  });
  let held = "";
  let stopped: string | undefined;

  return {
    push(text) {
      if (stopped !== undefined) return { text: "", stop: stopped };
      for (let i = 0; i < text.length; i++) {
        const unit = text.charCodeAt(i);
        let matched = 0;
        for (const automaton of automata) {
          const { stop, failure } = automaton;
          let { state } = automaton;
          while (state > 0 && stop.charCodeAt(state) !== unit) state = failure[state - 1]!;
          if (stop.charCodeAt(state) === unit) state++;
          if (state === stop.length) {
            matched = Math.max(matched, state);
            state = failure[state - 1]!;
          }
          automaton.state = state;
        }
        if (matched === 0) continue;
        const all = held + text.slice(0, i + 1);
        held = "";
        stopped = all.slice(all.length - matched);
        return { text: all.slice(0, all.length - matched), stop: stopped };
      }
      const all = held + text;
      const keep = automata.reduce((most, { state }) => Math.max(most, state), 0);
      held = all.slice(all.length - keep);
      return { text: all.slice(0, all.length - keep) };
    },
    end() {
      const rest = held;
      held = "";
      return rest;
    },
  };
}

/** failure[i]: length of the longest proper prefix of `stop` that `stop[0..i]` ends with. */
function failureOf(stop: string): Int32Array {
  const failure = new Int32Array(stop.length);
  for (let i = 1, state = 0; i < stop.length; i++) {
    while (state > 0 && stop[i] !== stop[state]) state = failure[state - 1]!;
    if (stop[i] === stop[state]) state++;
    failure[i] = state;
  }
  return failure;
}
