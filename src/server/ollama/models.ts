import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { z } from "zod";
import { GrokError } from "../../errors.ts";
import { reasoningSyntaxIn } from "../../generate/answer/syntax.ts";
import { inspectFile } from "../../model/inspect.ts";
import type { ModelHost } from "../models.ts";

/** Older clients say `name`. */
export const showRequest = z.union([z.looseObject({ model: z.string() }), z.looseObject({ name: z.string() })]);

/** `GET /api/tags`: what there is. */
export function listModels({ names, file }: ModelHost) {
  return {
    models: names.flatMap((name) => {
      try {
        return [{ ...fileOf(name, file(name)), modified_at: statSync(file(name)).mtime.toISOString() }];
      } catch (error) {
        // One file that is none, or is gone, does not hide the others; who asks for it is told what is wrong with it.
        if (!(error instanceof GrokError)) throw error;
        return [];
      }
    }),
  };
}

/** Clients want a time: the last that all of them can read. */
const never = "9999-12-31T23:59:59Z";

/** `GET /api/ps`: what is in memory. Nothing of it is in a graphics card's. */
export function listLoaded({ loaded, file }: ModelHost) {
  return {
    models: loaded().map(({ name, model, secondsLeft }) => ({
      ...{ ...fileOf(name, file(name)), size_vram: 0, context_length: model.info.contextLength },
      expires_at: secondsLeft === undefined ? never : new Date(Date.now() + secondsLeft * 1000).toISOString(),
    })),
  };
}

/** `POST /api/show` */
export function showModel({ file }: ModelHost, asked: z.infer<typeof showRequest>) {
  const name = String(asked.model ?? asked.name);
  const { metadata, model } = inspectFile(file(name));
  const template = metadata["tokenizer.chat_template"];
  const thinks = typeof template === "string" && reasoningSyntaxIn(template) !== undefined;
  const plain = Object.entries(metadata).filter(
    ([key, value]) => !key.startsWith("tokenizer.") && typeof value !== "object",
  );
  return {
    ...{
      modelfile: "",
      parameters: "",
      template: typeof template === "string" ? template : "",
      capabilities: ["completion", "tools", "embedding", ...(thinks ? ["thinking"] : [])],
    },
    details: detailsOf(file(name)),
    model_info: {
      ...Object.fromEntries(plain.map(([key, value]) => [key, typeof value === "bigint" ? Number(value) : value])),
      "general.parameter_count": model?.parameters,
    },
  };
}

function fileOf(name: string, path: string) {
  const details = detailsOf(path);
  const { size, mtimeMs } = statSync(path);
  // It tells files apart; the hash of hundreds of gigabytes would take minutes to say.
  const digest = createHash("sha256").update(`${name} ${size} ${mtimeMs}`).digest("hex");
  return { name, model: name, size, digest, details };
}

function detailsOf(path: string) {
  const { model } = inspectFile(path);
  const family = model?.architecture ?? "";
  return {
    ...{ parent_model: "", format: "gguf", family, families: [family], parameter_size: sizeOf(model?.parameters ?? 0) },
    quantization_level: model?.types[0]?.type.toUpperCase() ?? "",
  };
}

function sizeOf(parameters: number): string {
  return parameters >= 1e9 ? `${(parameters / 1e9).toFixed(1)}B` : `${(parameters / 1e6).toFixed(1)}M`;
}
