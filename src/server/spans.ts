import { randomBytes } from "node:crypto";
import type { LogEntry } from "./log-entry.ts";

export interface TraceOptions {
  /** A collector of OpenTelemetry's: what it is sent goes to `/v1/traces` below it. */
  readonly endpoint: string;
  /** For the collector: its key, for instance. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Told, once in a row, when the collector does not take what it is sent. */
  readonly onFailure: (message: string) => void;
}

/** Requests as spans in a trace (OTLP over HTTP, in JSON): what of the time was waiting, reading the prompt, and answering. */
export interface Tracer {
  record(entry: LogEntry): void;
  /** Sends what is left. */
  close(): Promise<void>;
}

/** Sent together at most; what a collector that is slow or gone leaves beyond the second number is lost. */
const [batch, mostKept] = [256, 4096];
const pauseMilliseconds = 5000;
const patience = 10_000;

export function createTracer({ endpoint, headers = {}, onFailure }: TraceOptions): Tracer {
  const url = `${endpoint.replace(/\/+$/, "")}/v1/traces`;
  let spans: object[] = [];
  let sending = Promise.resolve();
  let failed = false;
  const timer = setInterval(flush, pauseMilliseconds);
  timer.unref();

  async function send(part: readonly object[]): Promise<void> {
    const resource = { attributes: attributes({ "service.name": "grok1" }) };
    const scopeSpans = [{ scope: { name: "grok1" }, spans: part }];
    try {
      const response = await fetch(url, {
        ...{ method: "POST", headers: { ...headers, "content-type": "application/json" } },
        ...{
          body: JSON.stringify({ resourceSpans: [{ resource, scopeSpans }] }),
          signal: AbortSignal.timeout(patience),
        },
      });
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`it answers ${response.status}`);
      failed = false;
    } catch (error) {
      if (!failed) onFailure(`spans are not taken by ${url}: ${(error as Error).message}`);
      failed = true;
    }
  }

  function flush(): void {
    while (spans.length > 0) {
      const part = spans.slice(0, batch);
      spans = spans.slice(batch);
      sending = sending.then(() => send(part));
    }
  }

  return {
    record(entry) {
      if (spans.length >= mostKept) return;
      spans.push(...spansOf(entry));
      if (spans.length >= batch) flush();
    },
    async close() {
      clearInterval(timer);
      flush();
      await sending;
    },
  };
}

/** A request's span, and those of its parts; none where its trace is not recorded. */
export function spansOf(entry: LogEntry): object[] {
  const [, trace, parent, flags] =
    /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(entry.traceparent ?? "") ?? [];
  const given = trace !== undefined && !/^0+$/.test(trace) && !/^0+$/.test(parent!);
  if (given && (Number.parseInt(flags!, 16) & 1) === 0) return [];
  const traceId = given ? trace : randomBytes(16).toString("hex");
  const spanId = randomBytes(8).toString("hex");
  const { began, seconds, waitSeconds, prefillSeconds, method, route = "", status } = entry;
  const server = {
    ...{ traceId, spanId, ...(given && { parentSpanId: parent }), name: `${method} ${route}`.trim(), kind: 2 },
    ...{ startTimeUnixNano: nanoseconds(began), endTimeUnixNano: nanoseconds(began + seconds * 1000) },
    attributes: attributes({
      ...{ "http.request.method": method, "http.route": route, "http.response.status_code": status },
      ...{ "gen_ai.request.model": entry.model, "gen_ai.usage.input_tokens": entry.promptTokens },
      ...{ "gen_ai.usage.output_tokens": entry.completionTokens, "grok1.cached_tokens": entry.cachedTokens },
      ...{ "grok1.request_id": entry.requestId, "grok1.key": entry.key },
    }),
    status: status >= 500 ? { code: 2, message: entry.error?.split("\n")[0] ?? "" } : {},
  };
  if (entry.promptTokens === 0) return [server];
  const part = (name: string, from: number, to: number) => ({
    ...{ traceId, spanId: randomBytes(8).toString("hex"), parentSpanId: spanId, name, kind: 1 },
    ...{ startTimeUnixNano: nanoseconds(began + from * 1000), endTimeUnixNano: nanoseconds(began + to * 1000) },
  });
  const first = Math.min(seconds, waitSeconds + prefillSeconds);
  return [
    server,
    part("wait", 0, Math.min(seconds, waitSeconds)),
    part("prefill", Math.min(seconds, waitSeconds), first),
    part("decode", first, seconds),
  ];
}

/** A number of 64 bits, which JSON has as text. */
const nanoseconds = (milliseconds: number) => String(BigInt(Math.round(milliseconds * 1000)) * 1000n);

function attributes(values: Readonly<Record<string, string | number | undefined>>): object[] {
  return Object.entries(values).flatMap(([key, value]) =>
    value === undefined
      ? []
      : [{ key, value: typeof value === "number" ? { intValue: String(value) } : { stringValue: value } }],
  );
}
