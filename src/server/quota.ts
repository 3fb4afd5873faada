import { GrokError } from "../errors.ts";
import { type Bucket, clock, createBucket } from "./bucket.ts";

/** What one who asks may have; absent: as much as there is. */
export interface Quota {
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
  readonly tokensPerDay?: number | undefined;
}

export const quotaNames = Object.keys({
  ...{ requestsPerMinute: true, tokensPerMinute: true, tokensPerDay: true },
} satisfies Record<keyof Quota, true>);

/**
 * Counts what each key asks for. Tokens are known when they are there: who has taken more than their share is refused until time has
 * paid for it, so that over a day nobody has more, whatever a single request takes.
 */
export interface Quotas {
  /** One more request. @throws GrokError `limited` with the seconds to wait */
  enter(key: string | undefined): void;
  spend(key: string | undefined, tokens: number): void;
  /** Of requests and of tokens, where they are bounded. */
  left(key: string | undefined): readonly Left[];
}

/** What is left of somebody's share. */
export interface Left {
  readonly what: "requests" | "tokens";
  readonly most: number;
  readonly remaining: number;
  /** Until all of it is there again. */
  readonly seconds: number;
}

interface Share {
  readonly what: "requests" | "tokens";
  readonly named: string;
  readonly bucket: Bucket;
}

const [minute, day] = [60, 86_400];

/**
 * @param usual what a key has that `own` says nothing of; without keys, all who ask have it together
 * @param own by a key's name
 */
export function createQuotas(usual: Quota, own: Readonly<Record<string, Quota>>, now = clock): Quotas {
  const shares = new Map<string | undefined, readonly Share[]>();

  function sharesOf(key: string | undefined): readonly Share[] {
    const known = shares.get(key);
    if (known !== undefined) return known;
    const { requestsPerMinute, tokensPerMinute, tokensPerDay } = { ...usual, ...(key === undefined ? {} : own[key]) };
    const share = (what: Share["what"], most: number | undefined, seconds: number, named: string): Share[] =>
      most === undefined
        ? []
        : [{ what, named: `${most} ${what} a ${named}`, bucket: createBucket(most, seconds, now) }];
    const made = [
      ...share("requests", requestsPerMinute, minute, "minute"),
      ...share("tokens", tokensPerMinute, minute, "minute"),
      ...share("tokens", tokensPerDay, day, "day"),
    ];
    shares.set(key, made);
    return made;
  }

  return {
    enter(key) {
      const own = sharesOf(key);
      for (const { named, bucket } of own) {
        // Less than one token is none: a debt that is about to be paid lets nobody in.
        const wait = bucket.wait(1);
        if (wait === 0) continue;
        const retryAfter = Math.ceil(wait);
        throw new GrokError("limited", `no more than ${named}: try again in ${retryAfter} s`, { retryAfter });
      }
      for (const { what, bucket } of own) if (what === "requests") bucket.take(1);
    },
    spend(key, tokens) {
      for (const { what, bucket } of sharesOf(key)) if (what === "tokens") bucket.take(tokens);
    },
    left(key) {
      return (["requests", "tokens"] as const).flatMap((what) => {
        // Of a minute's tokens and a day's, those that end first.
        const [share] = sharesOf(key)
          .filter((share) => share.what === what)
          .sort((a, b) => a.bucket.left() - b.bucket.left());
        if (share === undefined) return [];
        const { most, left, wait } = share.bucket;
        return [{ what, most, remaining: Math.max(0, Math.floor(left())), seconds: wait(most) }];
      });
    },
  };
}

/** OpenAI's headers. */
export function rateLimitHeaders(left: readonly Left[]): Record<string, string> {
  const headers = left.flatMap(({ what, most, remaining, seconds }) => [
    [`x-ratelimit-limit-${what}`, String(most)],
    [`x-ratelimit-remaining-${what}`, String(remaining)],
    [`x-ratelimit-reset-${what}`, describeTime(seconds)],
  ]);
  return Object.fromEntries(headers);
}

/** As OpenAI writes it: 120ms, 6s, 2m3s, 1h0m5s. */
function describeTime(seconds: number): string {
  if (seconds < 1) return `${Math.ceil(seconds * 1000)}ms`;
  const whole = Math.ceil(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return `${hours > 0 ? `${hours}h` : ""}${whole >= minute ? `${minutes}m` : ""}${whole % 60}s`;
}
