/** After so many milliseconds without an event a stream says that it is still there: proxies end what is silent. */
const silence = 15_000;
/** So long a stream that begins is held back: what fails by then is answered with a status of its own. */
const patience = 1000;

/**
 * Server-sent events as a response. They are asked for as the client reads, so what it has not read is held by `source` alone; when it
 * goes, `leave` is called and `source` ended.
 * @throws what `source` throws in its first second
 */
export async function eventStream(
  source: AsyncGenerator<string, void, undefined>,
  leave: () => void,
): Promise<Response> {
  const first = source.next();
  let timer: NodeJS.Timeout | undefined;
  try {
    await Promise.race([first, new Promise((resolve) => (timer = setTimeout(resolve, patience)))]);
  } finally {
    clearTimeout(timer);
  }
  let waiting: ReturnType<typeof source.next> | undefined = first;
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const beat = setInterval(() => controller.enqueue(encoder.encode(": still here\n\n")), silence);
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
    { highWaterMark: 1 },
  );
  return new Response(body, {
    headers: {
      ...{ "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no" },
    },
  });
}

/** One event whose data are a JSON value, or a text as it is. */
export function eventOf(data: unknown, event?: string): string {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return `${event === undefined ? "" : `event: ${event}\n`}data: ${text}\n\n`;
}
