// Bytes a second that the readers of experts get of a file when nothing is computed: into slots in large pages, past the page cache.
//
// usage: node bench/drive.mjs FILE [--most 6G]
import { closeSync, fstatSync, openSync } from "node:fs";
import { parseArgs } from "node:util";
import { loadAddon } from "../dist/addon.js";
import { parseBytes } from "./control-group.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { most: { type: "string", default: "6G" } },
});
const descriptor = openSync(positionals[0]);
const backend = loadAddon().addon.createBackend(1, "best");
const source = backend.open(descriptor);
const piece = 2 ** 27;
const total = Math.floor(Math.min(fstatSync(descriptor).size, parseBytes(values.most)) / piece) * piece;
let next = 0;
async function fill(slot) {
  for (let at = next; at < total; at = next) {
    next += piece;
    await backend.load(source, at, piece, slot, 0, false);
  }
}
const slots = Array.from({ length: 4 }, () => backend.slot(piece));
// Memory that was never touched takes the system its time.
for (const slot of slots) await backend.load(source, 0, piece, slot, 0, false);
const began = performance.now();
await Promise.all(slots.map(fill));
console.log(total / ((performance.now() - began) / 1000));
backend.close();
closeSync(descriptor);
