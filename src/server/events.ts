/** After so many milliseconds without an event a stream says that it is still there: proxies end what is silent. */
const silence = 15_000;
/** So long a stream that begins is held back: what fails by then is answered with a status of its own. */
const patience = 1000;

/** So many bytes are held for a client that reads more slowly than it is answered. */
const mostHeld = 2 ** 20;

/** Server-sent events, or lines of JSON. */
export type StreamKind = "events" | "lines";

const types = { events: "text/event-stream; charset=utf-8", lines: "application/x-ndjson" } as const;

/**
 * A stream as a response. Its pieces are taken as they come, so that who reads slowly keeps no place, page or session from others; past a
 * bound they are left with `source` until the client has read on. When it goes, `leave` is called and `source` ended.
 * @throws what `source` throws in its first second
 */
export async function streamResponse(
  source: AsyncGenerator<string, void, undefined>,
  kind: StreamKind,
  leave: () => void,
): Promise<Response> {
  const first = source.next();
  let timer: NodeJS.Timeout | undefined;
  try {
    await Promise.race([first, new Promise((resolve) => (timer = setTimeout(resolve, patience)))]);
  } finally {
    clearTimeout(timer);
  }
  let waiting: typeof first | undefined = first;
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        // A line of JSON has no place for a word that says nothing.
        const say = () => controller.enqueue(encoder.encode(": still here\n\n"));
        const beat = kind === "events" ? setInterval(say, silence) : undefined;
        try {
          const { done, value } = await (waiting ?? source.next());
          waiting = undefined;
          if (done) controller.close();
          else controller.enqueue(encoder.encode(value));
        } finally {
          clearInterval(beat);
        }
      },
      async cancel() {
        leave();
        await source.return();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: mostHeld }),
  );
  return new Response(body, {
    headers: { "content-type": types[kind], "cache-control": "no-cache", "x-accel-buffering": "no" },
  });
}

export function isStream({ headers }: Response): boolean {
  return (Object.values(types) as (string | null)[]).includes(headers.get("content-type"));
}

/** One event whose data are a JSON value, or a text as it is. */
export function eventOf(data: unknown, event?: string): string {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return `${event === undefined ? "" : `event: ${event}\n`}data: ${text}\n\n`;
}

export function lineOf(data: object): string {
  return `${JSON.stringify(data)}\n`;
}
