import { computed, effect, signal } from "@preact/signals";
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
export const modelName = computed(() => {
  const names = status.value?.models.map(({ name }) => name) ?? [];
  return names.find((name) => name === settings.value.model) ?? names[0];
});

/** Sees how the server does. */
export async function look(): Promise<void> {
  try {
    status.value = await server.status();
    connected.value = true;
    const name = modelName.value;
    if (name === undefined) return;
    // What a model runs on is known once it is loaded.
    const loaded = status.value.models.some((model) => model.name === name && model.loaded);
    if (details.value?.name !== name || (loaded && details.value.engine === undefined)) {
      details.value = await server.details(name);
    }
  } catch (error) {
    if (isServerError(error) && error.trouble === "key") {
      key.value = { wanted: true, wrong: key.value.secret !== undefined };
    } else connected.value = false;
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
