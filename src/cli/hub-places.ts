import { readFileSync } from "node:fs";
import { join } from "node:path";
import { usageError } from "./exit.ts";
import { homeFolder } from "./home.ts";
import { expandHome } from "./values.ts";

export interface HubPlaces {
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly cache: string;
}

/** Where Hugging Face's own tools look, in their order. */
export function hubPlaces(environment: NodeJS.ProcessEnv): HubPlaces {
  const endpoint = environment.HF_ENDPOINT || "https://huggingface.co";
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw usageError(`HF_ENDPOINT=${endpoint}: expected an address such as https://huggingface.co`);
  }
  const home = expandHome(
    environment.HF_HOME || join(environment.XDG_CACHE_HOME || join(homeFolder(), ".cache"), "huggingface"),
  );
  const tokenFile = expandHome(environment.HF_TOKEN_PATH || join(home, "token"));
  return {
    endpoint,
    token: (environment.HF_TOKEN || readToken(tokenFile))?.trim() || undefined,
    cache: expandHome(environment.HF_HUB_CACHE || join(home, "hub")),
  };
}

function readToken(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
