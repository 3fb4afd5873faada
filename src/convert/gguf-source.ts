import { counted, GrokError } from "../errors.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";
import { checkIsModel } from "../model/kind.ts";
import { stackExperts } from "../model/weights.ts";
import { decodeRow } from "../tensor/decode.ts";
import { elementCount, type Tensor } from "../tensor/tensor.ts";
import { encodedBytes } from "../tensor/types.ts";
import { tensorChunks } from "./copy.ts";
import { type ModelSource, pieceElements, type SourceTensor } from "./source.ts";

/** Keys that say how a file was written, and not what the model is. */
const written = /^(split\.|general\.(file_type|quantization_version|alignment)$)/;

/**
 * A GGUF model, or any one file of a split one. Experts that lie in a tensor each become stacks.
 * @throws GrokError as `openGguf` and `stackExperts`; `unsupported` for a tensor of unknown type.
 */
export function openGgufSource(path: string): ModelSource {
  const file = openGguf(path);
  try {
    checkIsModel(file);
    checkKnown(file);
    const keys = [...file.metadata.keys()].filter((key) => !written.test(key));
    return {
      path,
      kind: file.paths.length > 1 ? `a GGUF model in ${counted(file.paths.length, "file")}` : "a GGUF file",
      metadata: keys.map((key) => [key, file.metadata.encoded(key)] as const),
      tensors: stackExperts(file).map(sourceTensor),
      files: file.paths,
      close: file.close,
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

function checkKnown({ path, opaque }: GgufFile): void {
  const [unknown] = opaque.values();
  if (unknown === undefined) return;
  throw new GrokError("unsupported", `${path}: tensor ${unknown.name} is of ${unknown.typeName}, which is not known`, {
    path,
    tensor: unknown.name,
  });
}

function sourceTensor(tensor: Tensor): SourceTensor {
  const { name, shape, type } = tensor;
  return {
    ...{ name, shape, stored: type, exact: type },
    storedBytes: encodedBytes(type, elementCount(shape)),
    rows: () => decodedRows(tensor),
    exactRows: () => encodedRows(tensor),
    encoded: (wanted) => (wanted === type ? tensorChunks(tensor, pieceElements) : undefined),
  };
}

/** Some MB of whole rows at a time, as they lie in the file. */
function encodedRows(tensor: Tensor): Iterable<Uint8Array> {
  const columns = tensor.shape.at(-1) ?? 1;
  const rows = Math.max(1, Math.floor(pieceElements / columns));
  return tensorChunks(tensor, rows * encodedBytes(tensor.type, columns));
}

/** A tensor's rows, decoded. */
export function* decodedRows(tensor: Tensor): Generator<Float32Array> {
  const columns = tensor.shape.at(-1) ?? 1;
  const rowBytes = encodedBytes(tensor.type, columns);
  for (const bytes of encodedRows(tensor)) {
    const values = new Float32Array((bytes.length / rowBytes) * columns);
    decodeRow(tensor.type, bytes, values);
    yield values;
  }
}
