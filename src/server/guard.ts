import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import { GrokError } from "../errors.ts";
import { createGuesses } from "./guesses.ts";

/** Who may ask, and from where. */
export interface GuardOptions {
  /**
   * Keys that open the API, by name: SHA-256 of each, in hexadecimal. None: everybody may ask. A fast hash, for keys are drawn and not
   * thought up: who has the hash of 256 random bits cannot try them all however fast each try is, and a slow one would let anybody
   * keep the server busy with wrong keys.
   */
  readonly keys: Readonly<Record<string, string>>;
  /** Names that the server is called by beside addresses; empty: any. */
  readonly hosts: readonly string[];
  /** Origins of pages, other than the server's own, that may ask; "*": any. */
  readonly origins: readonly string[];
}

export interface Guard {
  /**
   * A page somewhere else must not be able to ask in the name of whoever opened it: neither from its own origin, nor from a name that
   * it lets point here.
   * @throws GrokError `forbidden`
   */
  checkPlace(request: Request): void;
  /**
   * The name of the request's key; undefined where none is needed.
   * @param address where the request comes from
   * @throws GrokError `denied`; `limited` where too many wrong keys came from
   */
  keyOf(request: Request, address: string): string | undefined;
  /** Headers for a page of a listed origin. */
  corsHeaders(request: Request): Record<string, string>;
}

export function createGuard({ keys, hosts, origins }: GuardOptions): Guard {
  const known = Object.entries(keys).map(([name, hash]) => ({ name, hash: Buffer.from(hash, "hex") }));
  const guesses = createGuesses();
  const mayAsk = (origin: string) => origins.includes("*") || origins.includes(origin);

  function checkHost(request: Request): void {
    if (hosts.length === 0) return;
    // A request that came by no socket has its name in the address alone; one for a proxy has another in its first line.
    const { host } = new URL(request.url);
    for (const name of [request.headers.get("host") ?? host, host].map(hostnameOf)) {
      // Only a name can be made to point here by others: a page at an address came from there.
      if (hosts.includes(name) || isIP(name) > 0) continue;
      throw new GrokError("forbidden", `this server is not called ${JSON.stringify(name)}`, { option: "host" });
    }
  }

  function checkOrigin(request: Request): void {
    const origin = request.headers.get("origin");
    if (origin === null || mayAsk(origin)) return;
    const own = URL.canParse(origin) && new URL(origin).host === request.headers.get("host");
    if (!own) throw new GrokError("forbidden", `pages of ${origin} may not ask here`, { option: "origin" });
  }

  function keyOf(request: Request, address: string): string | undefined {
    if (known.length === 0) return undefined;
    guesses.check(address);
    const given = request.headers.get("authorization")?.replace(/^Bearer\s+/i, "") ?? request.headers.get("x-api-key");
    if (given === null || given === undefined)
      throw new GrokError("denied", "a key is needed: Authorization: Bearer KEY");
    const hash = createHash("sha256").update(given).digest();
    // All are compared, whichever fits: time tells nothing.
    const fitting = known.filter((key) => key.hash.length === hash.length && timingSafeEqual(key.hash, hash));
    if (fitting.length > 0) return fitting[0]!.name;
    guesses.wrong(address);
    throw new GrokError("denied", "the key is not one of this server's");
  }

  return {
    checkPlace(request) {
      checkHost(request);
      checkOrigin(request);
    },
    keyOf,
    corsHeaders(request): Record<string, string> {
      const origin = request.headers.get("origin");
      if (origin === null || !mayAsk(origin)) return {};
      return {
        "access-control-allow-origin": origin,
        "access-control-allow-headers": "authorization, content-type, x-api-key",
        "access-control-allow-methods": "GET, POST",
        "access-control-expose-headers": "x-request-id, retry-after",
        vary: "origin",
      };
    },
  };
}

/** Of a Host header: without the port, an IPv6 address without its brackets. */
function hostnameOf(host: string): string {
  return host
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
}
