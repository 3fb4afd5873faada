import { loadAddon } from "../../src/addon.ts";

const state = loadAddon();

/** For titles of tests that need the addon: why they are skipped; nothing where they run. */
export const withoutAddon = state.addon === undefined ? ` (skipped: no addon: ${state.reason})` : "";
