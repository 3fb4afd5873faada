import { GrokError, whyNotText } from "../errors.ts";
import { createAllowance } from "./allowance.ts";
import { execute } from "./execute.ts";
import { globals } from "./globals.ts";
import { fromData } from "./iterate.ts";
import type { Place } from "./lexer.ts";
import { parse } from "./parser.ts";
import { openScope, type Scope } from "./scope.ts";
import type { Body } from "./syntax.ts";
import { createBuilder } from "./text.ts";
import type { Value } from "./values.ts";

/** A rendered text, and which of it came from the caller: [from, to) in UTF-16 units, flat, ascending, never touching. */
export interface Rendering {
  readonly text: string;
  readonly caller: readonly number[];
}

export interface RenderOptions {
  /** Variables that count as the template's own text. */
  readonly trusted?: Readonly<Record<string, unknown>>;
  /** Texts that count so too where an entry called `role` has them. */
  readonly roles?: ReadonlySet<string>;
  /** What `strftime_now` shows, in local time. Default: now. */
  readonly now?: Date;
  /** What is not there fails wherever it is used, as with jinja2's `StrictUndefined`. Default: it prints as nothing. */
  readonly strict?: boolean;
}

export interface Template {
  /** @throws GrokError `format`, naming the template and the line; `details.raised` says that the template refused by its own words. */
  render(variables: Readonly<Record<string, unknown>>, options?: RenderOptions): Rendering;
}

/**
 * A Jinja template, in the dialect of Hugging Face's chat templates: jinja2's immutable sandbox with `trim_blocks`,
 * `lstrip_blocks`, `break` and `continue`, `{% generation %}`, `tojson`, `raise_exception` and `strftime_now`.
 * @param name what messages call the template: the file that it stands in
 * @throws GrokError `format`, naming the template and the line, for one that does not parse
 */
export function createTemplate(source: string, name: string): Template {
  const place: Place = { line: 1 };
  const body = guarded(name, place, (): Body => parse(source, place));
  return {
    render(variables, { trusted = {}, roles = noRoles, now = new Date(), strict = false } = {}) {
      const run = createAllowance(now, strict);
      return guarded(name, run, () => {
        const out = createBuilder(run);
        const scope = openScope({ variables: new Map(globals), around: undefined });
        define(scope, trusted, (value) => fromData(run, value, { fromCaller: false, roles }));
        define(scope, variables, (value) => fromData(run, value, { fromCaller: true, roles }));
        execute(run, scope, body, out);
        const { value, caller } = out.build();
        const why = whyNotText(value);
        if (why !== undefined) throw new GrokError("format", `it gives what is no text: ${why}`);
        return { text: value, caller };
      });
    },
  };
}

const noRoles: ReadonlySet<string> = new Set();

function define(scope: Scope, given: Readonly<Record<string, unknown>>, toValue: (data: unknown) => Value): void {
  for (const [name, data] of Object.entries(given)) if (data !== undefined) scope.variables.set(name, toValue(data));
}

/** Runs `work`; a fault of the template's becomes an error that says where. */
function guarded<T>(name: string, place: Readonly<Place>, work: () => T): T {
  try {
    return work();
  } catch (error) {
    let reason: string;
    if (error instanceof GrokError && error.code === "format") reason = error.message;
    // Levels are bounded, but the caller's own stack may be nearly full.
    else if (error instanceof RangeError) reason = "it nests too deeply";
    else throw error;
    const details = error instanceof GrokError ? error.details : {};
    throw new GrokError(
      "format",
      `${name}: the template failed in line ${place.line}: ${reason}`,
      { ...details, path: name, line: place.line },
      error,
    );
  }
}
