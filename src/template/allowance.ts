import { GrokError } from "../errors.ts";

/**
 * One rendering's allowance. A template is a program that somebody else wrote: all it does is counted here, so that no
 * template can take more than a bounded number of steps, characters, items and levels, and none needs to be stopped
 * from outside.
 */
export interface Allowance {
  /** Line of the template at work, for messages. */
  line: number;
  /** The moment that `strftime_now` shows. */
  readonly now: Date;
  /** Whether what is not there fails where it is printed, passed through or asked for its truth. */
  readonly strict: boolean;
  /** Counts work that makes nothing: a node evaluated, an item passed, 16 characters searched. */
  step(count?: number): void;
  /** Counts what a value takes: 1 for a character, 4 for a place in a list, 24 for an object. Call before it is made. */
  take(volume: number): void;
  /** Widens the bounds for that much input. */
  admit(characters: number): void;
  /** Goes one level deeper into expressions, statements or nested values. */
  enter(): void;
  leave(): void;
}

/** A rendering's bounds for small inputs: about half a second and 100 MB. */
const mostSteps = 1_000_000;
const mostVolume = 32_000_000;
/** What one character of the input allows besides: long conversations take many steps, and templates copy them. */
const stepsForCharacter = 16;
const volumeForCharacter = 256;
/** Levels: of calls, of the expressions within them, of values within values. Python's own limit is 1,000 frames. */
const mostLevels = 600;

/** Ends the rendering for the reason given; the template's name and line are added where it is caught. */
export function fault(reason: string, details: Readonly<Record<string, boolean>> = {}): never {
  throw new GrokError("format", reason, details);
}

export function createAllowance(now: Date, strict: boolean): Allowance {
  let steps = mostSteps;
  let volume = mostVolume;
  let levels = 0;
  return {
    line: 1,
    now,
    strict,
    step(count = 1) {
      steps -= count;
      if (!(steps >= 0)) fault("it takes too many steps");
    },
    take(count) {
      volume -= count;
      if (!(volume >= 0)) fault("its values grow too large");
    },
    admit(characters) {
      steps += stepsForCharacter * characters;
      volume += volumeForCharacter * characters;
    },
    enter() {
      if (++levels > mostLevels) fault("it nests too deeply");
    },
    leave() {
      levels--;
    },
  };
}
