#!/usr/bin/env node
// How fast one core's kernels are, by instruction set and tensor type, with weights in the processor's cache: the table that
// src/plan/kernel-rates.ts has for machines that are not here. Prints its entries; run it on a machine that does nothing else.
//
//   node bench/kernel-rates.mjs [--isa avx2,avx512]
import { parseArgs } from "node:util";
import { openBackend } from "../dist/engine/backend.js";
import { measureKernels } from "../dist/plan/measured-kernels.js";
import { encodedBytes, tensorTypes } from "../dist/tensor/types.js";

const { values } = parseArgs({ options: { isa: { type: "string", default: "avx2,avx512" } } });
const [rows, columns, tokens] = [1024, 4096, 128];
for (const isa of values.isa.split(",")) {
  const entries = [];
  for (const type of Object.keys(tensorTypes)) {
    const { ops } = await openBackend({ backend: "native", threads: 1, isa });
    const kernels = measureKernels(ops, { modelBytes: 0 });
    const one = await kernels.product(type, rows, columns, 1, false);
    const many = await kernels.product(type, rows, columns, tokens, false);
    kernels.close();
    if (one === undefined || many === undefined) continue;
    const decode = encodedBytes(type, rows * columns) / one / 1e9;
    entries.push(`${type}: [${decode.toPrecision(3)}, ${((rows * columns * tokens) / many / 1e9).toPrecision(3)}]`);
  }
  console.log(`${isa}: { ${entries.join(", ")} },`);
}
