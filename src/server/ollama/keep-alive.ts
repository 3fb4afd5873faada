import { GrokError } from "../../errors.ts";

const units: Readonly<Record<string, number>> = {
  ...{ ns: 1e-9, us: 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600 },
};
const duration = /^[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$/;

/**
 * Ollama's `keep_alive` in seconds, a number of them or what Go reads as a duration ("5m", "1h30m"); 0 gives the model back at once, what
 * is below 0 never. @throws GrokError `argument`
 */
export function keepSecondsOf({
  keep_alive: keep,
}: {
  readonly keep_alive?: string | number | undefined;
}): number | undefined {
  if (keep === undefined || typeof keep === "number") return keep;
  if (!duration.test(keep)) {
    const expected = 'expected seconds, or a duration such as "5m" or "1h30m"';
    throw new GrokError("argument", `keep_alive is ${JSON.stringify(keep)}, ${expected}`, { option: "keep_alive" });
  }
  let seconds = 0;
  for (const [, number, unit] of keep.matchAll(/(\d+\.?\d*|\.\d+)([^\d.]+)/g))
    seconds += Number(number) * units[unit!]!;
  return keep.startsWith("-") ? -seconds : seconds;
}
