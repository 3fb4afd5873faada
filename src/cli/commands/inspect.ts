import type { Command } from "commander";
import { inspectFile } from "../../model/inspect.ts";
import { renderInspection } from "../inspection.ts";
import { hasColor, jsonDocument } from "../terminal.ts";

export function addInspect(program: Command): void {
  program
    .command("inspect")
    .description("What is in a file: metadata, tensors, sizes, parameters, tokenizer. GGUF and safetensors.")
    .argument("<file>", "a .gguf or .safetensors file, or a safetensors index (.json)")
    .option("--json", "print one JSON document")
    .action((path: string, options: { readonly json?: true }) => {
      const inspection = inspectFile(path);
      const text = options.json
        ? `${jsonDocument(inspection)}\n`
        : renderInspection(inspection, hasColor(process.stdout, process.env));
      process.stdout.write(text);
    });
}
