import { isSameFile } from "../bytes/destination.ts";
import { GrokError } from "../errors.ts";
import { type GgufFile, openGguf } from "../formats/gguf/file.ts";

const tokensKey = "tokenizer.ggml.tokens";

/** What a second file is to do for a model, for messages: the option that names it, and "draft for" or the like. */
export interface SecondFile {
  readonly option: string;
  readonly role: string;
  /** What else is to hold of it: throws what `refuse` makes of a reason. */
  readonly check?: (file: GgufFile, refuse: (why: string) => GrokError) => void;
}

/**
 * Opens a file that is used beside a model's own, such as a copy of it in fewer bits.
 * @throws GrokError as `openGguf`; `argument` for one that speaks in other tokens, or is the same file
 */
export function openSecondFile(path: string, target: GgufFile, { option, role, check }: SecondFile): GgufFile {
  const file = openGguf(path);
  try {
    const refuse = (what: string) =>
      new GrokError("argument", `${path} cannot ${role} ${target.path}: ${what}`, {
        ...{ option, path, target: target.path },
      });
    if (shareFile(file, target)) throw refuse("it is the same file");
    const [own, others] = [file.metadata.strings(tokensKey, []), target.metadata.strings(tokensKey, [])];
    if (own.length !== others.length) {
      throw refuse(`it has a vocabulary of ${own.length} tokens, expected ${others.length}`);
    }
    const at = own.findIndex((token, i) => token !== others[i]);
    if (at >= 0) {
      throw refuse(`its token ${at} is ${JSON.stringify(own[at])}, expected ${JSON.stringify(others[at])}`);
    }
    check?.(file, refuse);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Whether two models are one, by whichever of its parts each was named. */
export function shareFile(a: GgufFile, b: GgufFile): boolean {
  return a.paths.some((one) => b.paths.some((other) => isSameFile(one, other)));
}
