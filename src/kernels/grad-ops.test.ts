import { gradConformance } from "./grad-ops.case.ts";
import { createGradReference } from "./reference/grad-reference.ts";

gradConformance("reference", () => createGradReference(), { gradient: 1e-6, quantized: 1e-6 });
