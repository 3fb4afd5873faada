import { createExpertCache, type ExpertCache, type KeepPolicy } from "./expert-cache.ts";
import { scratchRows } from "./expert-room.ts";
import { createLookAhead } from "./look-ahead.ts";
import type { RoutingTrace } from "./trace.ts";

/** What a trace is replayed on. */
export interface SimulatedMachine {
  /** Bytes that experts may take while answers are computed: a prompt's activations have their memory of it. */
  readonly bytes: number;
  /** Bytes a second that the drive reads, and that weights in memory are computed with. */
  readonly driveBandwidth: number;
  readonly memoryBandwidth: number;
  /** `optimum`: what whoever knows the future would keep (Belady 1966), which no policy can surpass by more than rounding of sizes. */
  readonly policy: KeepPolicy | "optimum";
  /** Whether what a layer foretells of the next one may be read ahead: it is where that pays, foretelling itself taken to cost nothing. */
  readonly ahead: boolean;
}

export interface SimulatedRun extends SimulatedPasses {
  /** The passes that read prompts, and the others, where a trace says which they are and has both. */
  readonly prompts?: SimulatedPasses;
  readonly answers?: SimulatedPasses;
}

/** What some passes did. */
export interface SimulatedPasses {
  readonly passes: number;
  /** Of the experts that layers asked for, the share that was in memory, and that was on its way. */
  readonly hitRate: number;
  readonly comingRate: number;
  readonly bytesRead: number;
  /** Of them, what was read ahead and never asked for. */
  readonly bytesWasted: number;
  /** Seconds that all passes take, and those of them in which there was nothing to compute. */
  readonly seconds: number;
  readonly stalledSeconds: number;
  readonly tokensPerSecond: number;
}

/**
 * Replays a trace. The drive reads one thing after another, what a layer waits for before what is read ahead; what is in memory is computed
 * meanwhile, and so is what comes, row by row, as fast as memory gives it, once a pass whatever its tokens; so times are those of decoding, and a
 * prompt's are a lower bound.
 *
 * @param skip Passes at the beginning that fill memory and are not counted.
 */
export function simulate(trace: RoutingTrace, machine: SimulatedMachine, skip = 0): SimulatedRun {
  const { layers, experts, expertBytes, keptBytes, activationBytes, passes } = trace;
  const { bytes, driveBandwidth, memoryBandwidth, policy, ahead } = machine;
  const keeper: Keeper =
    policy === "optimum" ? createOptimum(trace, bytes) : createExpertCache({ bytes, layers, experts, policy });
  /** When each expert that was asked of the drive is there. */
  const readyAt = new Map<number, number>();
  /** What was read ahead and nobody has asked for. */
  const unasked = new Set<number>();
  const lookAhead = ahead && policy !== "optimum" ? createLookAhead() : undefined;
  /** What it is told of: since the last layer asked, and what was foretold of this one and not in memory. */
  let since = { askedAt: 0, neededUntil: 0, stalled: 0, reads: 0, reading: 0 };
  let told: readonly number[] | undefined;
  const layerSeconds = keptBytes / layers / memoryBandwidth;
  let now = 0;
  let driveFree = 0;
  let rows = scratchRows(0, 1);
  const leastRows = rows;
  /** Of all passes that count, and of those that read prompts and the others. */
  const sums = { all: noPasses(), prompts: noPasses(), answers: noPasses() };
  let sum = noPasses();

  const forget = (given: readonly number[]) => {
    for (const each of given) if (unasked.delete(each)) sum.wasted += expertBytes[Math.floor(each / experts)]!;
  };
  /** Reads it in the place of others; false where no room can be made. */
  const bring = (expert: number, ahead: boolean): boolean => {
    const size = expertBytes[Math.floor(expert / experts)]!;
    const given = keeper.admit(expert, size, ahead ? "foretold" : "asked");
    if (given === undefined && ahead) return false;
    forget(given ?? []);
    driveFree = Math.max(driveFree, now) + size / driveBandwidth;
    readyAt.set(expert, driveFree);
    if (!ahead) since.neededUntil = driveFree;
    since.reads++;
    since.reading += size / driveBandwidth;
    sum.read += size;
    return true;
  };
  const runLayer = (layer: number, asked: readonly number[], next: readonly number[]) => {
    now += layerSeconds;
    const numbers = asked.map((expert) => layer * experts + expert);
    const plan = lookAhead?.plan;
    lookAhead?.add({
      ...{ layer, rest: 1000 * Math.max(0, now - Math.max(since.askedAt, since.neededUntil)) },
      ...{ stalled: 1000 * since.stalled, reads: since.reads, reading: 1000 * since.reading },
      waits: numbers.some((number) => !keeper.has(number) || readyAt.get(number)! > now),
      foretold: told && { absent: told.length, right: told.filter((each) => numbers.includes(each)).length, took: 0 },
    });
    since = { ...since, askedAt: now, stalled: 0, reads: 0, reading: 0 };
    keeper.ask(layer, numbers);
    const there = numbers.filter((number) => keeper.has(number));
    for (const number of there) {
      if (readyAt.get(number)! > now) sum.coming++;
      else sum.hits++;
      keeper.hold(number);
      unasked.delete(number);
    }
    const absent = numbers.filter((number) => !there.includes(number));
    for (const number of absent) bring(number, false);
    const coming = next.map((expert) => (layer + 1) * experts + expert);
    told = plan === "nothing" || coming.length === 0 ? undefined : coming.filter((number) => !keeper.has(number));
    if (plan === "read") {
      keeper.foretell(coming);
      for (const number of coming) {
        if (keeper.has(number)) continue;
        if (!bring(number, true)) break;
        keeper.letGo(number);
        unasked.add(number);
      }
    }
    const computing = expertBytes[layer]! / memoryBandwidth;
    // One after the other, each while it comes.
    for (const ready of numbers.map((number) => readyAt.get(number)!).sort((a, b) => a - b)) {
      now += computing;
      if (ready > now) {
        sum.stalled += ready - now;
        since.stalled += ready - now;
        now = ready;
      }
    }
    for (const number of numbers) keeper.letGo(number);
    sum.asked += numbers.length;
  };

  passes.forEach(({ tokens, prompt, asked, foretold }, pass) => {
    const began = now;
    sum = noPasses();
    rows = scratchRows(rows, tokens);
    forget(keeper.limit(Math.max(0, bytes - (rows - leastRows) * activationBytes)));
    for (let layer = 0; layer < layers; layer++) runLayer(layer, asked[layer]!, foretold[layer + 1] ?? []);
    if (pass < skip) return;
    const done = { ...sum, passes: 1, tokens, seconds: now - began };
    const into = prompt === undefined ? [sums.all] : [sums.all, prompt ? sums.prompts : sums.answers];
    for (const each of into) for (const name of Object.keys(done) as (keyof PassSums)[]) each[name] += done[name];
  });
  const { all, prompts, answers } = sums;
  const both = prompts.passes > 0 && answers.passes > 0;
  return { ...summarize(all), ...(both && { prompts: summarize(prompts), answers: summarize(answers) }) };
}

const noPasses = () => ({
  ...{ passes: 0, tokens: 0, seconds: 0, asked: 0, hits: 0, coming: 0, read: 0, wasted: 0, stalled: 0 },
});
type PassSums = ReturnType<typeof noPasses>;

const summarize = (sum: PassSums): SimulatedPasses => ({
  passes: sum.passes,
  hitRate: sum.asked === 0 ? 1 : sum.hits / sum.asked,
  comingRate: sum.asked === 0 ? 0 : sum.coming / sum.asked,
  bytesRead: sum.read,
  bytesWasted: sum.wasted,
  seconds: sum.seconds,
  stalledSeconds: sum.stalled,
  tokensPerSecond: sum.seconds === 0 ? 0 : sum.tokens / sum.seconds,
});

type Keeper = Pick<ExpertCache, "has" | "ask" | "foretell" | "hold" | "letGo" | "admit" | "limit">;

/** Gives up what is asked for last of all, or never again: also what it is told to admit. */
function createOptimum({ layers, experts, expertBytes, passes }: RoutingTrace, most: number): Keeper {
  let bytes = most;
  /** Of each expert the moments at which it is asked for, the soonest last. */
  const uses = Array.from({ length: layers * experts }, (): number[] => []);
  for (let pass = passes.length - 1; pass >= 0; pass--) {
    for (let layer = layers - 1; layer >= 0; layer--) {
      for (const expert of passes[pass]!.asked[layer]!) uses[layer * experts + expert]!.push(pass * layers + layer);
    }
  }
  const present = new Set<number>();
  let used = 0;
  let moment = -1;
  const sizeOf = (expert: number) => expertBytes[Math.floor(expert / experts)]!;
  const nextUse = (expert: number) => {
    const list = uses[expert]!;
    while (list.length > 0 && list.at(-1)! <= moment) list.pop();
    return list.at(-1) ?? Number.POSITIVE_INFINITY;
  };
  const shrink = () => {
    const given: number[] = [];
    while (used > bytes && present.size > 0) {
      let [last, when] = [-1, -1];
      for (const each of present) {
        const next = nextUse(each);
        if (next > when) [last, when] = [each, next];
      }
      present.delete(last);
      used -= sizeOf(last);
      given.push(last);
    }
    return given;
  };
  return {
    has: (expert) => present.has(expert),
    ask(layer) {
      moment += (layer - (moment % layers) + layers) % layers || layers;
    },
    foretell() {},
    hold() {},
    letGo() {},
    admit(expert, size) {
      present.add(expert);
      used += size;
      return shrink();
    },
    limit(next) {
      bytes = next;
      return shrink();
    },
  };
}
