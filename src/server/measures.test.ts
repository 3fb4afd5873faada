import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadModel } from "../generate/load.ts";
import { readTemperatures } from "../machine/temperature.ts";
import { startTestServer } from "./app.case.ts";
import { draftEntry } from "./log-entry.ts";
import { createCounter, createHistogram } from "./metrics.ts";
import { createShortageWatch, readFills } from "./shortage.ts";
import { createTracer, spansOf } from "./spans.ts";

const files = { llama: join(resolve(import.meta.dirname, "../../test/vectors/models"), "llama.gguf") };
const folder = mkdtempSync(join(tmpdir(), "grok1-measures-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Samples by name and labels. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const [, name, value] = /^([a-z_0-9]+(?:\{.*\})?) (\S+)$/.exec(line)!;
      return [name!, Number(value)];
    }),
  );
}

describe("metrics", () => {
  it("are what requests were", async () => {
    const experts = {
      ...{ bytes: 9, usedBytes: 8, asked: 7, there: 5, coming: 1, repeated: 0, bytesRead: 600, bytesReadAhead: 90 },
      ...{ ahead: 0, aheadAsked: 0, foretold: 6, foretoldRight: 3, stalled: [250, 500] },
      ...{ changed: 4, leftOut: 3, stoodIn: 2 },
    };
    await using server = startTestServer(files, {
      load: async (file) => {
        const model = await loadModel(file, { backend: "reference" });
        return Object.assign(Object.create(model), { status: async () => ({ ...(await model.status()), experts }) });
      },
    });
    const ask = { messages: [{ role: "user", content: "What of it?" }], max_tokens: 5, ignore_eos: true, seed: 1 };
    const usages = [];
    for (let i = 0; i < 3; i++) {
      const answer = await server.post("/v1/chat/completions", ask);
      usages.push(((await answer.json()) as { usage: { prompt_tokens: number } }).usage);
    }
    await server.post("/v1/chat/completions", { messages: [] });
    await server.get("/v1/models/none");
    await server.get("/no/such/../../place");
    const response = await server.get("/metrics");
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const samples = samplesOf(await response.text());
    const of = (name: string) => samples.get(name);
    const route = "/v1/chat/completions";
    expect(of(`grok1_requests_total{method="POST",route="${route}",status="200"}`)).toBe(3);
    expect(of(`grok1_requests_total{method="POST",route="${route}",status="400"}`)).toBe(1);
    expect(of('grok1_requests_total{method="GET",route="/v1/models/:name{.+}",status="404"}')).toBe(1);
    expect(of('grok1_requests_total{method="GET",route="",status="404"}')).toBe(1);
    expect(of('grok1_completion_tokens_total{model="llama"}')).toBe(15);
    expect(of('grok1_prompt_tokens_total{model="llama"}')).toBe(3 * usages[0]!.prompt_tokens);
    expect(of('grok1_time_to_first_token_seconds_count{model="llama"}')).toBe(3);
    expect(of('grok1_time_to_first_token_seconds_bucket{model="llama",le="+Inf"}')).toBe(3);
    expect(of('grok1_time_between_tokens_seconds_count{model="llama"}')).toBe(12);
    expect(of('grok1_time_between_tokens_seconds_sum{model="llama"}')).toBeGreaterThan(0);
    expect(of("grok1_requests_running")).toBe(0);
    expect(of('grok1_model_loaded{model="llama"}')).toBe(1);
    const { pages, freePages, keptPages } = await (await server.model()).status();
    expect(of('grok1_cache_pages{model="llama"}')).toBe(pages);
    expect(of('grok1_cache_pages_used{model="llama"}')).toBe(pages - freePages);
    expect(of('grok1_cache_pages_kept{model="llama"}')).toBe(keptPages);
    expect(keptPages).toBeGreaterThan(0);
    expect(of('grok1_experts_asked_total{model="llama"}')).toBe(7);
    expect(of('grok1_expert_hits_total{model="llama"}')).toBe(5);
    expect(of('grok1_expert_read_bytes_total{model="llama"}')).toBe(600);
    expect(of('grok1_expert_read_ahead_bytes_total{model="llama"}')).toBe(90);
    expect(of('grok1_experts_foretold_total{model="llama"}')).toBe(6);
    expect(of('grok1_experts_foretold_right_total{model="llama"}')).toBe(3);
    expect(of('grok1_experts_changed_total{model="llama"}')).toBe(4);
    expect(of('grok1_experts_left_out_total{model="llama"}')).toBe(3);
    expect(of('grok1_experts_stood_in_total{model="llama"}')).toBe(2);
    expect(of('grok1_expert_stalled_seconds_total{model="llama",layer="1"}')).toBe(0.5);
    expect(of("process_resident_memory_bytes")).toBeGreaterThan(1e7);
    expect(of('grok1_event_loop_delay_seconds{quantile="0.99"}')).toBeGreaterThanOrEqual(0);
  });

  it("are written as Prometheus reads them, whatever is in a label", () => {
    const counter = createCounter("c_total", "C.");
    counter.add({ a: 'x"\\\n' });
    counter.add({ a: 'x"\\\n' }, 2);
    expect(counter.text()).toBe('# HELP c_total C.\n# TYPE c_total counter\nc_total{a="x\\"\\\\\\n"} 3\n');
    const histogram = createHistogram("h", "H.", [1, 2]);
    histogram.observe({}, 1);
    histogram.observe({}, 1.5, 4);
    histogram.observe({}, 9);
    expect(histogram.text().split("\n").slice(2, -1)).toEqual([
      ...['h_bucket{le="1"} 1', 'h_bucket{le="2"} 5', 'h_bucket{le="+Inf"} 6', "h_sum 16", "h_count 6"],
    ]);
  });
});

describe("what was said", () => {
  it.each([true, false])("is in the log where it is asked for: %s", async (logsText) => {
    await using server = startTestServer(files, { logsText });
    const messages = [{ role: "user", content: "What of it?" }];
    const answer = await server.post("/v1/chat/completions", { messages, max_tokens: 5 });
    const { choices } = (await answer.json()) as { choices: { message: { content: string } }[] };
    const said = { asked: [messages], answered: [choices[0]!.message.content] };
    expect(server.log[0]!.said).toEqual(logsText ? said : undefined);
  });
});

describe("spans", () => {
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  const entryOf = (traceparent?: string) => ({
    ...draftEntry(new Request("http://localhost/v1/completions", { headers: traceparent ? { traceparent } : {} })),
    ...{ route: "/v1/completions", status: 200, seconds: 2, waitSeconds: 0.5, prefillSeconds: 0.25 },
    ...{ promptTokens: 7, completionTokens: 3, model: "llama", began: 1_700_000_000_000 },
  });
  // biome-ignore lint/suspicious/noExplicitAny: what a collector reads has no type
  type Any = any;

  it("go on with a client's trace, part by part", () => {
    const [server, ...parts] = spansOf(entryOf(`00-${trace}-00f067aa0ba902b7-01`)) as Any[];
    expect(server).toMatchObject({ traceId: trace, parentSpanId: "00f067aa0ba902b7", name: "GET /v1/completions" });
    expect(server.startTimeUnixNano).toBe("1700000000000000000");
    expect(server.attributes).toContainEqual({ key: "gen_ai.usage.input_tokens", value: { intValue: "7" } });
    expect(parts.map(({ name, parentSpanId }) => [name, parentSpanId === server.spanId])).toEqual([
      ...[
        ["wait", true],
        ["prefill", true],
        ["decode", true],
      ],
    ]);
    const bounds = parts.map((part) => [part.startTimeUnixNano, part.endTimeUnixNano]);
    expect(bounds).toEqual([
      ["1700000000000000000", "1700000000500000000"],
      ["1700000000500000000", "1700000000750000000"],
      ["1700000000750000000", "1700000002000000000"],
    ]);
  });

  it.each([
    ["not recorded where the client's trace is not", `00-${trace}-00f067aa0ba902b7-00`, 0],
    ["a trace of their own where the client's is none", `00-${"0".repeat(32)}-00f067aa0ba902b7-00`, 4],
    ["the same of what is no trace", "00-xyz", 4],
  ])("are %s", (_, traceparent, count) => {
    const spans = spansOf(entryOf(traceparent)) as Any[];
    expect(spans).toHaveLength(count);
    for (const { traceId } of spans) expect(traceId).toMatch(/^(?!0+$)[0-9a-f]{32}$/);
  });

  it("reach a collector, and one that is gone is told of once", async () => {
    const got: { readonly url: string; readonly headers: IncomingHttpHeaders; readonly body: Any }[] = [];
    const collector = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        got.push({ url: request.url!, headers: request.headers, body: JSON.parse(Buffer.concat(parts).toString()) });
        response.end("{}");
      });
    });
    await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
    const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/`;
    const failures: string[] = [];
    const onFailure = (message: string) => failures.push(message);
    const tracer = createTracer({ endpoint, headers: { "x-key": "k" }, onFailure });
    for (let i = 0; i < 100; i++) tracer.record(entryOf());
    await tracer.close();
    expect(got[0]).toMatchObject({ url: "/v1/traces", headers: { "x-key": "k" } });
    const spans = got.flatMap(({ body }) => body.resourceSpans[0].scopeSpans[0].spans);
    expect(spans).toHaveLength(400);
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(400);
    collector.close();
    const other = createTracer({ endpoint, onFailure });
    for (let i = 0; i < 200; i++) other.record(entryOf());
    await other.close();
    expect(failures).toEqual([expect.stringMatching(/not taken by/)]);
  });
});

describe("the computer", () => {
  it("is told of when it becomes full, once until it has been less full", () => {
    const told: string[] = [];
    const look = createShortageWatch((message) => told.push(message));
    for (const used of [0.5, 0.9, 0.95, 0.86, 0.91, 0.84, 0.93]) look([{ name: "memory", used }]);
    expect(told).toEqual(["memory: 90 % in use", "memory: 93 % in use"]);
    const inside = join(folder, "inside");
    mkdirSync(inside);
    const fills = readFills([join(folder, "none"), inside, folder]);
    expect(fills.map(({ name }) => name)).toEqual(["memory", `the disk of ${inside}`]);
    for (const { used } of fills) expect(used).toBeGreaterThanOrEqual(0);
    for (const { used } of fills) expect(used).toBeLessThanOrEqual(1);
  });

  it("tells its temperatures, of chips or else of zones, without what cannot be", () => {
    const put = (path: string, text: string) => {
      mkdirSync(join(folder, path, ".."), { recursive: true });
      writeFileSync(join(folder, path), `${text}\n`);
    };
    expect(readTemperatures(folder)).toEqual([]);
    put("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp");
    put("sys/class/thermal/thermal_zone0/temp", "41000");
    put("sys/class/thermal/cooling_device0/type", "Fan");
    expect(readTemperatures(folder)).toEqual([{ sensor: "x86_pkg_temp", celsius: 41 }]);
    put("sys/class/hwmon/hwmon0/name", "coretemp");
    put("sys/class/hwmon/hwmon0/temp1_input", "52500");
    put("sys/class/hwmon/hwmon0/temp1_label", "Core 0");
    put("sys/class/hwmon/hwmon0/temp2_input", "-128000");
    expect(readTemperatures(folder)).toEqual([{ sensor: "coretemp Core 0", celsius: 52.5 }]);
  });
});
