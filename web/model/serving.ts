import { batch, computed, effect, signal } from "@preact/signals";
import { createServer, isServerError, type ModelDetails, type Status } from "./server.ts";
import { settings } from "./settings.ts";

/** The server: how it does, its models, and the key that it may ask for. */

const place = "grok1.key";

/** A tab keeps the key, and nothing else does. */
export const key = signal<{ readonly secret?: string; readonly wanted?: boolean; readonly wrong?: boolean }>(readKey());

function readKey() {
  try {
    const secret = sessionStorage.getItem(place);
    return secret === null ? {} : { secret };
  } catch {
    return {};
  }
}

export function useKey(secret: string): void {
  try {
    sessionStorage.setItem(place, secret);
  } catch {
    // It then lasts until the page is left.
  }
  key.value = { secret };
  void look();
}

export const server = createServer(() => key.value.secret);

export const status = signal<Status | undefined>(undefined);

/** Undefined before anything was heard. */
export const connected = signal<boolean | undefined>(undefined);

export const details = signal<ModelDetails | undefined>(undefined);

/** The model that is talked with: the one chosen, where the server has it. */
export const modelName = computed(() => nameIn(status.value));

function nameIn(found: Status | undefined): string | undefined {
  const names = found?.models.map(({ name }) => name) ?? [];
  return names.find((name) => name === settings.value.model) ?? names[0];
}

/** Sees how the server does. */
export async function look(): Promise<void> {
  try {
    const found = await server.status();
    const described = await describe(found);
    batch(() => {
      status.value = found;
      details.value = described;
      connected.value = true;
    });
  } catch (error) {
    if (isServerError(error) && error.trouble === "key") {
      key.value = { wanted: true, wrong: key.value.secret !== undefined };
    } else connected.value = false;
  }
}

/** The model that is talked with; what it runs on is known once it is loaded. */
async function describe(found: Status): Promise<ModelDetails | undefined> {
  const name = nameIn(found);
  const known = details.value?.name === name ? details.value : undefined;
  const loaded = found.models.some((model) => model.name === name && model.loaded);
  if (name === undefined || (known !== undefined && (known.engine !== undefined || !loaded))) return known;
  try {
    return await server.details(name);
  } catch (error) {
    // A file can be damaged: what is wrong with it is said to who asks it something.
    if (isServerError(error) && error.trouble === "other") return known;
    throw error;
  }
}

const [often, seldom] = [2_000, 5_000];

/** Looks at the server as long as the page is seen, and more seldom while it is away. */
export function watchServer(): void {
  const again = async () => {
    if (!document.hidden && !key.value.wanted) await look();
    setTimeout(again, connected.value === false ? seldom : often);
  };
  void again();
  effect(() => {
    if (modelName.value !== undefined && modelName.value !== details.peek()?.name) void look();
  });
}
