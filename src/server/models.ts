import type { AdapterChoice } from "../engine/adapters.ts";
import { GrokError } from "../errors.ts";
import type { LanguageModel } from "../generate/types.ts";

/**
 * Models by the names that requests call them by: loaded at first use, given back when nobody uses them. An adapter is a name too, of its
 * model with it.
 */
export interface ModelHost {
  readonly names: readonly string[];
  /** Those of them that are models themselves. */
  readonly bases: readonly string[];
  /** The file of a model. @throws GrokError `not-found` */
  file(name: string): string;
  /** What is loaded at this moment. */
  loaded(): readonly LoadedModel[];
  /**
   * The model called `name`, or the first for undefined, until it is disposed of. Waits where another has to be given back first: then all
   * that come later wait behind it, so that the one that is there is not held for ever. `keepSeconds`: from now on the model is given
   * back after so many seconds without a request; 0: at once, below 0: never.
   * @throws GrokError `not-found`; what loading throws; `cancelled` by the signal
   */
  use(name: string | undefined, signal: AbortSignal, keepSeconds?: number): Promise<ModelUse>;
  /** Gives a model back now, or when those who use it have done; nothing where it is not there. @throws GrokError `not-found` */
  giveBack(name: string | undefined): void;
  close(): Promise<void>;
}

export interface LoadedModel {
  readonly name: string;
  readonly model: LanguageModel;
  readonly users: number;
  /** Until it is given back where nobody asks it; undefined: it is kept. */
  readonly secondsLeft: number | undefined;
}

export interface ModelUse extends Disposable {
  readonly name: string;
  readonly model: LanguageModel;
  /** What of its adapters the name stands for; undefined where it has none. */
  readonly adapters?: readonly AdapterChoice[] | undefined;
}

export interface ServedModel {
  readonly name: string;
  readonly file: string;
  /** Names of the adapters that it is loaded with: each is called by its own, or as MODEL:ADAPTER. */
  readonly adapters?: readonly string[] | undefined;
  readonly load: () => Promise<LanguageModel>;
}

export interface ModelHostOptions {
  readonly models: readonly ServedModel[];
  /** Models in memory at a time. */
  readonly atOnce: number;
  /** After so many seconds without a request a model is given back; undefined: never. */
  readonly idleSeconds?: number | undefined;
}

interface Held {
  readonly name: string;
  readonly loading: Promise<LanguageModel>;
  model?: LanguageModel;
  users: number;
  usedAt: number;
  keepSeconds: number;
  idle?: NodeJS.Timeout | undefined;
}

/** Who waits for a model. */
interface Waiting {
  readonly name: string;
  readonly go: (entry: Held) => void;
  readonly fail: (error: unknown) => void;
}

const mostTimeout = 2 ** 31 - 1;

/** That nothing here is called so, and what is: of many names as many as a line holds. */
export function noSuchModel(asked: string, names: readonly string[]): GrokError {
  const some = names.slice(0, 10).map((name) => JSON.stringify(name));
  const more = names.length > some.length ? ` and ${names.length - some.length} more` : "";
  const message = `there is no model ${JSON.stringify(asked)} here: there is ${some.join(", ")}${more}`;
  return new GrokError("not-found", message, { option: "model" });
}

export function createModelHost({ models, atOnce, idleSeconds = -1 }: ModelHostOptions): ModelHost {
  const byName = new Map(models.map((model) => [model.name, model]));
  const names = models.flatMap(({ name, adapters = [] }) => [name, ...adapters]);
  const callable = new Map(models.flatMap(namesOf));
  const held = new Map<string, Held>();
  const closing = new Set<Promise<void>>();
  /** In the order in which they came. */
  let waiting: Waiting[] = [];
  let closed = false;

  /** The first that waits has its model when that can be; with it all that wait for the same. */
  function serve(): void {
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      const entry = obtain(first.name);
      if (entry === undefined) return;
      const served = waiting.filter(({ name }) => name === entry.name);
      waiting = waiting.filter(({ name }) => name !== entry.name);
      for (const { go } of served) go(hold(entry));
    }
  }

  /** Ollama's clients name a version where nobody asked for one. */
  function find(asked: string): Named {
    const found = callable.get(asked) ?? callable.get(asked.replace(/:latest$/, ""));
    if (found !== undefined) return found;
    throw noSuchModel(asked, names);
  }

  function giveBack(entry: Held): void {
    clearTimeout(entry.idle);
    held.delete(entry.name);
    const done = entry.loading
      .then((model) => model.close())
      .catch(() => undefined)
      .finally(() => {
        closing.delete(done);
        serve();
      });
    closing.add(done);
  }

  /** A place in memory for one more, where there is one: it may have to be taken from what nobody uses. */
  function makeRoom(): boolean {
    if (held.size + closing.size < atOnce) return true;
    if (held.size < atOnce) return false;
    const unused = [...held.values()].filter(({ users }) => users === 0).sort((a, b) => a.usedAt - b.usedAt)[0];
    if (unused !== undefined) giveBack(unused);
    return false;
  }

  function load(name: string): Held {
    const loading = byName.get(name)!.load();
    const entry: Held = { name, loading, users: 0, usedAt: performance.now(), keepSeconds: idleSeconds };
    held.set(name, entry);
    entry.loading.then(
      (model) => {
        entry.model = model;
      },
      () => {
        if (held.get(name) === entry) held.delete(name);
        serve();
      },
    );
    return entry;
  }

  function release(entry: Held): void {
    entry.users--;
    entry.usedAt = performance.now();
    if (entry.users > 0) return;
    serve();
    // It may be another's by now, or be given back.
    if (entry.users > 0 || held.get(entry.name) !== entry) return;
    const milliseconds = entry.keepSeconds * 1000;
    if (milliseconds === 0) giveBack(entry);
    if (!(milliseconds > 0 && milliseconds <= mostTimeout)) return;
    entry.idle = setTimeout(() => giveBack(entry), milliseconds);
    entry.idle.unref();
  }

  /** A model that is there, or can be loaded. */
  const obtain = (name: string) => held.get(name) ?? (makeRoom() ? load(name) : undefined);

  /** What is taken is in use from then on: nobody may give it back between two turns. */
  function hold(entry: Held): Held {
    clearTimeout(entry.idle);
    entry.users++;
    return entry;
  }

  async function take(name: string, signal: AbortSignal): Promise<Held> {
    if (closed) throw isClosing();
    signal.throwIfAborted();
    const entry = waiting.length === 0 ? obtain(name) : undefined;
    if (entry !== undefined) return hold(entry);
    return await new Promise<Held>((resolve, reject) => {
      const leave = () => {
        waiting = waiting.filter((one) => one !== waiter);
        reject(signal.reason);
        serve();
      };
      const settled = () => signal.removeEventListener("abort", leave);
      const waiter: Waiting = {
        name,
        go(found) {
          settled();
          resolve(found);
        },
        fail(error) {
          settled();
          reject(error);
        },
      };
      waiting.push(waiter);
      signal.addEventListener("abort", leave, { once: true });
    });
  }

  return {
    names,
    bases: models.map(({ name }) => name),
    file: (name) => find(name).model.file,
    loaded: () => [...held.values()].flatMap((entry) => loadedOf(entry) ?? []),
    giveBack(asked) {
      const entry = held.get(find(asked ?? models[0]!.name).model.name);
      if (entry === undefined) return;
      entry.keepSeconds = 0;
      if (entry.users === 0) giveBack(entry);
    },
    async use(asked, signal, keepSeconds) {
      const { name, model, adapters } = find(asked ?? models[0]!.name);
      const entry = await take(model.name, signal);
      if (keepSeconds !== undefined) entry.keepSeconds = keepSeconds;
      let used = true;
      const done = () => {
        if (used) release(entry);
        used = false;
      };
      try {
        return { name, model: await entry.loading, adapters, [Symbol.dispose]: done };
      } catch (error) {
        done();
        throw error;
      }
    },
    async close() {
      closed = true;
      for (const { fail } of waiting.splice(0)) fail(isClosing());
      for (const entry of [...held.values()]) giveBack(entry);
      await Promise.all(closing);
    },
  };
}

function loadedOf({ name, model, users, keepSeconds, usedAt }: Held): LoadedModel | undefined {
  if (model === undefined) return undefined;
  const unused = users > 0 ? 0 : (performance.now() - usedAt) / 1000;
  return { name, model, users, secondsLeft: keepSeconds < 0 ? undefined : Math.max(0, keepSeconds - unused) };
}

const isClosing = () => new GrokError("busy", "the server is closing");

/** What a name stands for. */
interface Named {
  readonly name: string;
  readonly model: ServedModel;
  readonly adapters: readonly AdapterChoice[] | undefined;
}

/** A model that is loaded with adapters is itself without them. */
function namesOf(model: ServedModel): (readonly [string, Named])[] {
  const { name, adapters } = model;
  return [
    [name, { name, model, adapters: adapters && [] }] as const,
    ...(adapters ?? []).flatMap((adapter) => {
      const named = { name: adapter, model, adapters: [{ name: adapter }] };
      return [[adapter, named] as const, [`${name}:${adapter}`, named] as const];
    }),
  ];
}
