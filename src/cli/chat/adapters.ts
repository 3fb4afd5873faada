import { basename, dirname } from "node:path";
import type { AdapterChoice, AdapterSource } from "../../engine/adapters.ts";
import { maxAdapterScale } from "../../model/lora/adapter.ts";
import type { Messages } from "../messages.ts";
import { scaleRange, splitScale } from "../values.ts";
import { type Conversation, withoutOption } from "./conversation.ts";

/** An adapter that the model was loaded with. */
export type NamedAdapter = Required<AdapterSource>;

/** Adapters by the names of their folders, or by their paths where two folders have one name. */
export function nameAdapters(sources: readonly AdapterSource[]): NamedAdapter[] {
  const short = sources.map(({ path }) => basename(path.endsWith(".safetensors") ? dirname(path) : path));
  return sources.map(({ path, scale = 1 }, i) => {
    const unique = short[i] !== "" && short[i] !== "." && short.indexOf(short[i]!) === short.lastIndexOf(short[i]!);
    return { path, scale, name: unique ? short[i]! : path };
  });
}

/**
 * `/lora`: with names, the answers to come use those adapters and no others, each as strongly as said or as it was loaded; `off`:
 * none; `all`: as at first. Says what holds then.
 */
export function chooseAdapters(argument: string, conversation: Conversation, messages: Messages): string {
  const { adapters, chat } = conversation;
  if (adapters.length === 0) return messages.noAdapters;
  if (argument === "all") chat.options = withoutOption(chat.options, "adapters");
  else if (argument === "off") chat.options = { ...chat.options, adapters: [] };
  else if (argument !== "") {
    // A name may hold spaces.
    const whole = findAdapter(argument, adapters);
    const words = whole === undefined ? argument.split(/\s+/) : [argument];
    const chosen = new Map<string, AdapterChoice>();
    for (const word of words) {
      const found = findAdapter(word, adapters);
      if (found === undefined) return messages.adapterUnknown(word, adapters.map(({ name }) => name).join(", "));
      if (!(Math.abs(found.scale) <= maxAdapterScale)) return messages.optionInvalid(found.name, word, scaleRange);
      chosen.set(found.name, found);
    }
    chat.options = { ...chat.options, adapters: [...chosen.values()] };
  }
  const used: readonly AdapterChoice[] = chat.options.adapters ?? adapters;
  return adapters
    .map(({ name }) => {
      const choice = used.find((each) => each.name === name);
      return `${name} ${choice === undefined ? messages.adapterOff : choice.scale}`;
    })
    .join("\n");
}

/** "NAME" or "NAME:SCALE", of the adapters there are. */
function findAdapter(entry: string, adapters: readonly NamedAdapter[]): Required<AdapterChoice> | undefined {
  const named = (name: string) => adapters.find((each) => each.name === name || each.path === name);
  const exact = named(entry);
  if (exact !== undefined) return { name: exact.name, scale: exact.scale };
  const { name, scale } = splitScale(entry);
  const found = scale === undefined ? undefined : named(name);
  return found && { name: found.name, scale: scale! };
}
