import { counted, GrokError } from "../errors.ts";

/** How to reach a hub. */
export interface Web {
  /** Where its pages are, such as https://huggingface.co; a path below is kept. */
  readonly endpoint: string;
  /** Sent to the endpoint's own host and to no other: files come from others, that redirects name. */
  readonly token?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** A connection that is silent for as long is given up. */
  readonly stallSeconds: number;
  /** Attempts in a row that bring nothing, before it is given up. */
  readonly attempts: number;
  /** The first pause between two attempts; each next one is twice as long, up to 30 s. */
  readonly pauseSeconds: number;
}

export const webDefaults: Web = {
  endpoint: "https://huggingface.co",
  ...{ stallSeconds: 30, attempts: 8, pauseSeconds: 0.5 },
};

/** An answer whose body is still to come. */
export interface Answer {
  readonly response: Response;
  /** The body's parts. @throws GrokError {@link isTransient} when it stalls or breaks off. */
  readonly parts: AsyncIterable<Uint8Array>;
  /** Gives the connection back, whatever of the body is still to come. */
  close(): void;
}

/** A failure that may be gone in a moment. `pause`: seconds that the server asked for. */
export function transient(message: string, details: { readonly url: string; readonly pause?: number }): GrokError {
  return new GrokError("io", message, { ...details, transient: true });
}

export function isTransient(error: unknown): error is GrokError {
  return error instanceof GrokError && error.details.transient === true;
}

const mostRedirects = 10;
const mostPause = 300;

/**
 * One request, redirects followed. Of an answer that is no success the error says what can be done.
 * @param headers beside the token.
 * @throws GrokError `io` ({@link isTransient} or not), `argument` for a token that is none, `cancelled`.
 */
export async function request(web: Web, url: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  // Checked here: what `fetch` says of a header has its value in it.
  if (web.token !== undefined && !/^[\x21-\x7e]+$/.test(web.token)) {
    throw new GrokError(
      "argument",
      "the token has characters that none has: spaces, control characters or letters beyond ASCII",
    );
  }
  let at = new URL(url);
  for (let redirects = 0; ; redirects++) {
    const watch = createWatch(web, at.href);
    const own = at.origin === new URL(web.endpoint).origin;
    let response: Response;
    try {
      response = await fetch(at, {
        redirect: "manual",
        signal: watch.signal,
        // Ranges of compressed bytes would be ranges of something else.
        headers: {
          ...headers,
          "accept-encoding": "identity",
          ...(own && web.token !== undefined && { authorization: `Bearer ${web.token}` }),
        },
      });
    } catch (error) {
      watch.stop();
      throw watch.failure(error);
    }
    const target = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || target === null) {
      if (response.ok) return answer(response, watch);
      watch.abandon();
      throw statusError(response, at, own);
    }
    watch.abandon();
    const next = URL.canParse(target, at.href) ? new URL(target, at.href) : undefined;
    if (redirects === mostRedirects) throw transient(`${url}: more than ${mostRedirects} redirects`, { url });
    if (next === undefined || !(next.protocol === "https:" || (next.protocol === "http:" && at.protocol === "http:"))) {
      throw new GrokError("io", `${at.href}: redirects to ${target}, expected an address of https`, { url: at.href });
    }
    at = next;
  }
}

/**
 * Repeats what fails for a moment. Who cannot be reached at all is told so at once, but by a download that is under way: a connection may
 * come back.
 * @param progressed of a download: whether it brought something since it was last asked.
 */
export async function withRetries<T>(web: Web, attempt: () => Promise<T>, progressed?: () => boolean): Promise<T> {
  for (let failures = 0; ; ) {
    try {
      return await attempt();
    } catch (error) {
      if (!isTransient(error) || (error.details.unreachable && progressed === undefined)) throw error;
      failures = progressed?.() ? 1 : failures + 1;
      if (failures >= web.attempts) {
        const message = `${error.message} (${counted(failures, "attempt")})`;
        throw new GrokError("io", message, { url: error.details.url ?? null, attempts: failures }, error);
      }
      const own = Math.min(30, web.pauseSeconds * 2 ** (failures - 1)) * (0.75 + Math.random() / 2);
      await sleep(Math.max(own, Math.min(mostPause, Number(error.details.pause ?? 0))), web.signal);
    }
  }
}

function sleep(seconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(cancelled(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, 1000 * seconds);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

function cancelled(signal: AbortSignal | undefined): GrokError {
  return new GrokError("cancelled", "the download was cancelled", {}, signal?.reason);
}

/** No name server or no way, as a computer has it that is offline. */
const unreachable = /^(ENOTFOUND|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|ENETDOWN)$/;

/** A certificate that is not trusted or another's, or a server that does not speak TLS. */
const untrusted = /CERT|SIGNATURE|^ERR_(TLS|SSL)_/;

/** What the next attempt would be told too. Without a code it is `fetch` itself that refuses: a port that it never asks. */
function lasting(error: unknown, code: string | undefined): boolean {
  return (
    untrusted.test(code ?? "") || (code === undefined && error instanceof TypeError && error.message !== "terminated")
  );
}

/** Ends a request when its caller cancels, or when nothing comes for too long. */
function createWatch(web: Web, url: string) {
  const controller = new AbortController();
  let stalled = false;
  let timer: NodeJS.Timeout | undefined;
  const cancel = () => controller.abort();
  const arm = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      stalled = true;
      controller.abort();
    }, 1000 * web.stallSeconds);
  };
  const stop = () => {
    clearTimeout(timer);
    web.signal?.removeEventListener("abort", cancel);
  };
  if (web.signal?.aborted) cancel();
  else web.signal?.addEventListener("abort", cancel, { once: true });
  arm();
  return {
    signal: controller.signal,
    arm,
    stop,
    abandon() {
      stop();
      controller.abort();
    },
    failure(error: unknown): GrokError {
      if (web.signal?.aborted) return cancelled(web.signal);
      if (stalled) return transient(`${url}: nothing came for ${web.stallSeconds} s`, { url });
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      const code = (cause as NodeJS.ErrnoException | undefined)?.code;
      const failed = `${url}: the connection failed: ${cause instanceof Error ? cause.message : cause}`;
      if (unreachable.test(code ?? "")) {
        const message = `${url}: ${new URL(url).hostname} cannot be reached (${code}): is this computer online?`;
        return new GrokError("io", message, { url, transient: true, unreachable: true });
      }
      if (lasting(error, code)) return new GrokError("io", failed, { url }, error);
      return transient(failed, { url });
    },
  };
}

function answer(response: Response, watch: ReturnType<typeof createWatch>): Answer {
  async function* parts(): AsyncGenerator<Uint8Array> {
    try {
      for await (const part of response.body ?? []) {
        watch.arm();
        yield part;
        // The time that its reader took is not the server's.
        watch.arm();
      }
    } catch (error) {
      throw error instanceof GrokError ? error : watch.failure(error);
    } finally {
      watch.stop();
    }
  }
  return { response, parts: parts(), close: watch.abandon };
}

function statusError({ status, headers }: Response, { href: url }: URL, own: boolean): GrokError {
  const failed = (what: string) => new GrokError("io", `${url}: ${what} (status ${status})`, { url, status });
  if (status === 404 || status === 410) {
    const missing = headers.get("x-error-code");
    return failed(missing === "RevisionNotFound" ? "there is no such revision" : "not found, or not without a token");
  }
  if ((status === 401 || status === 403) && own) {
    const gated = headers.get("x-error-message");
    return failed(gated ?? "no access: set HF_TOKEN to a token that has it, and accept the model's terms on its page");
  }
  // What another host was named for expires: the next attempt is told a new place.
  const passing = status === 408 || status === 425 || status === 429 || status >= 500 || (!own && status !== 416);
  if (!passing) return failed("refused");
  return transient(`${url}: the server is not able to answer (status ${status})`, { url, pause: retryAfter(headers) });
}

/** In seconds: RFC 9110 gives a number of them, or a date. */
function retryAfter(headers: Headers): number {
  const value = headers.get("retry-after") ?? "0";
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : 0;
}
