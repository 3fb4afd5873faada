import { monitorEventLoopDelay } from "node:perf_hooks";
import type { EngineStatus } from "../engine/engine.ts";
import type { ExpertStatus } from "../engine/expert-status.ts";
import { availableMemory, memoryLimit } from "../machine/limits.ts";
import { readTemperatures } from "../machine/temperature.ts";
import type { Gate } from "./gate.ts";
import type { LogEntry } from "./log-entry.ts";
import { createCounter, createHistogram, gauge } from "./metrics.ts";
import type { ModelHost } from "./models.ts";

/** What a server measures of itself. */
export interface Measures {
  /** Takes a request that ended. */
  count(entry: LogEntry): void;
  /** All of it in Prometheus' text format. */
  text(): Promise<string>;
}

/** Seconds, from what nobody notices to what nobody waits for. */
const times = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const steps = [0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5];

/** So often the event loop is looked at: milliseconds, which Node counts into its delay. */
const resolution = 10;

export interface MeasuresOptions {
  /** Whether to tell how often each expert was chosen: a series for each of each layer. */
  readonly eachExpert: boolean;
}

export function createMeasures(gate: Gate, models: ModelHost, { eachExpert }: MeasuresOptions): Measures {
  const requests = createCounter("grok1_requests_total", "Requests that ended.");
  const refusals = createCounter("grok1_moderation_refusals_total", "Requests and answers that moderation refused.");
  const promptTokens = createCounter("grok1_prompt_tokens_total", "Tokens of prompts.");
  const cachedTokens = createCounter("grok1_cached_prompt_tokens_total", "Tokens of prompts that a cache held.");
  const completionTokens = createCounter("grok1_completion_tokens_total", "Tokens of answers.");
  const drafted = createCounter("grok1_drafted_tokens_total", "Tokens that speculation drafted.");
  const accepted = createCounter("grok1_accepted_tokens_total", "Drafted tokens that the model chose itself.");
  const seconds = createHistogram("grok1_request_seconds", "Time from a request to the end of its answer.", times);
  const wait = createHistogram("grok1_queue_wait_seconds", "Time until a request's turn came.", times);
  const first = createHistogram("grok1_time_to_first_token_seconds", "Time from a request to its first token.", times);
  const between = createHistogram("grok1_time_between_tokens_seconds", "Mean time between an answer's tokens.", steps);
  const delay = monitorEventLoopDelay({ resolution });
  delay.enable();

  function count(entry: LogEntry): void {
    const { method, route = "", status, model, promptTokens: prompt } = entry;
    requests.add({ method, route, status: String(status) });
    if (entry.rule !== undefined) refusals.add({ rule: entry.rule });
    seconds.observe({ route }, entry.seconds);
    if (model === undefined || prompt === 0) return;
    promptTokens.add({ model }, prompt);
    cachedTokens.add({ model }, entry.cachedTokens);
    completionTokens.add({ model }, entry.completionTokens);
    drafted.add({ model }, entry.draftedTokens);
    accepted.add({ model }, entry.acceptedTokens);
    wait.observe({ model }, entry.waitSeconds);
    first.observe({ model }, entry.waitSeconds + entry.prefillSeconds);
    if (entry.decodeSteps > 0) between.observe({ model }, entry.decodeSeconds / entry.decodeSteps, entry.decodeSteps);
  }

  /** Of each model in memory; one that is closing says nothing. */
  async function statuses(): Promise<(readonly [{ readonly model: string }, EngineStatus])[]> {
    const asked = models.loaded().map(async ({ name, model }) => [{ model: name }, await model.status()] as const);
    return (await Promise.allSettled(asked)).flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  }

  /** Of models whose experts are read as they are needed. One series a layer at most: their number follows from the model alone. */
  function expertsText(loaded: readonly (readonly [{ readonly model: string }, EngineStatus])[]): string {
    const streamed = loaded.flatMap(([labels, { experts }]) =>
      experts === undefined ? [] : [[labels, experts] as const],
    );
    const of = (name: string, help: string, value: (experts: ExpertStatus) => number, type = "counter") =>
      gauge(
        name,
        help,
        streamed.map(([labels, experts]) => [labels, value(experts)]),
        type,
      );
    const stalled = streamed.flatMap(([labels, experts]) =>
      experts.stalled.map((milliseconds, layer) => [{ ...labels, layer: String(layer) }, milliseconds / 1000] as const),
    );
    return [
      of("grok1_expert_memory_bytes", "Memory that streamed experts take.", ({ usedBytes }) => usedBytes, "gauge"),
      of("grok1_experts_asked_total", "Experts that layers asked for.", ({ asked }) => asked),
      of("grok1_expert_hits_total", "Of these, those that were in memory.", ({ there }) => there),
      of("grok1_expert_read_bytes_total", "Bytes of experts that were read.", ({ bytesRead }) => bytesRead),
      of(
        "grok1_expert_read_ahead_bytes_total",
        "Of these, those read before a layer asked.",
        ({ bytesReadAhead }) => bytesReadAhead,
      ),
      of(
        "grok1_experts_foretold_total",
        "Experts asked for of which it was foretold which.",
        ({ foretold }) => foretold,
      ),
      of(
        "grok1_experts_foretold_right_total",
        "Of these, those that were foretold.",
        ({ foretoldRight }) => foretoldRight,
      ),
      of("grok1_experts_changed_total", "Choices of tokens changed to experts in memory.", ({ changed }) => changed),
      of("grok1_experts_left_out_total", "Choices of tokens left out.", ({ leftOut }) => leftOut),
      of(
        "grok1_experts_stood_in_total",
        "Of those asked for, those that a copy stood in for.",
        ({ stoodIn }) => stoodIn,
      ),
      gauge("grok1_expert_stalled_seconds_total", "Time with nothing to compute, by layer.", stalled, "counter"),
    ].join("");
  }

  function chosenText(loaded: readonly (readonly [{ readonly model: string }, EngineStatus])[]): string {
    const values = loaded.flatMap(([labels, { chosen }]) =>
      chosen.flatMap((counts, layer) =>
        counts.map((count, expert) => [{ ...labels, layer: String(layer), expert: String(expert) }, count] as const),
      ),
    );
    return gauge("grok1_expert_chosen_total", "How often a layer chose an expert for a token.", values, "counter");
  }

  function processText(): string {
    const seconds = (delayed: number) => Math.max(0, delayed / 1e9 - resolution / 1e3);
    const lag = [
      [{ quantile: "0.5" }, seconds(delay.percentile(50))],
      [{ quantile: "0.99" }, seconds(delay.percentile(99))],
      [{ quantile: "1" }, seconds(delay.max)],
    ] as const;
    delay.reset();
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed } = process.memoryUsage();
    const one = (name: string, help: string, value: number, type?: string) => gauge(name, help, [[{}, value]], type);
    return [
      one("process_resident_memory_bytes", "Memory that the process has.", rss),
      one("process_cpu_seconds_total", "Processor time that the process has had.", (user + system) / 1e6, "counter"),
      one("process_start_time_seconds", "When the process began.", Date.now() / 1000 - process.uptime()),
      one("nodejs_heap_used_bytes", "Memory of JavaScript's objects.", heapUsed),
      one("grok1_memory_limit_bytes", "Memory that the process may use.", memoryLimit()),
      one("grok1_memory_available_bytes", "Memory that can be had without others' giving way.", availableMemory()),
      gauge("grok1_event_loop_delay_seconds", "Delay of the event loop since it was last asked for.", lag),
      gauge(
        "grok1_temperature_celsius",
        "What the computer's sensors say.",
        readTemperatures().map(({ sensor, celsius }) => [{ sensor }, celsius]),
      ),
    ].join("");
  }

  return {
    count,
    async text() {
      const loaded = await statuses();
      const of = (name: string, help: string, value: (status: EngineStatus) => number) =>
        gauge(
          name,
          help,
          loaded.map(([labels, status]) => [labels, value(status)]),
        );
      return [
        ...[requests, refusals, promptTokens, cachedTokens, completionTokens, drafted, accepted].map((one) =>
          one.text(),
        ),
        ...[seconds, wait, first, between].map((one) => one.text()),
        gauge("grok1_requests_running", "Requests that are computed.", [[{}, gate.running]]),
        gauge("grok1_requests_waiting", "Requests that wait for their turn.", [[{}, gate.waiting]]),
        gauge(
          "grok1_model_loaded",
          "Whether a model is in memory.",
          models.names.map((model) => [{ model }, loaded.some(([labels]) => labels.model === model) ? 1 : 0]),
        ),
        of("grok1_engine_requests", "Requests that an engine computes or holds back.", ({ requests }) => requests),
        of("grok1_cache_pages", "Pages of an engine's cache.", ({ pages }) => pages),
        of("grok1_cache_pages_used", "Pages that hold something.", ({ pages, freePages }) => pages - freePages),
        of("grok1_cache_pages_kept", "Pages that hold beginnings for others.", ({ keptPages }) => keptPages),
        of("grok1_cache_page_tokens", "Tokens that a page holds.", ({ pageTokens }) => pageTokens),
        expertsText(loaded),
        ...(eachExpert ? [chosenText(loaded)] : []),
        processText(),
      ].join("");
    },
  };
}
