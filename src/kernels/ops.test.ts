import { backends } from "./backends.case.ts";
import { type Budgets, conformance } from "./ops.case.ts";

/**
 * The reference computes in float64 on exactly decoded weights; its caches hold float32. The native backend computes in
 * float32 and, with quantized weights, rounds activations to 8 bits a block.
 */
const budgets: Record<"reference" | "native", Budgets> = {
  reference: {
    elementwise: 1e-7,
    product: 1e-12,
    half: 1e-12,
    quantized: 1e-12,
    fine: 1e-12,
    attention: 1e-12,
    roundedAttention: 1e-12,
  },
  native: {
    elementwise: 1e-6,
    product: 1e-5,
    half: 1e-3,
    quantized: 1.5e-2,
    fine: 2e-4,
    attention: 1e-5,
    roundedAttention: 1e-2,
  },
};

for (const { name, create, skip } of backends) {
  conformance(name, create, budgets[name === "reference" ? "reference" : "native"], skip);
}
