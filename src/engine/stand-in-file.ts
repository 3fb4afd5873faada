import type { GgufFile } from "../formats/gguf/file.ts";
import { describeModel } from "../model/describe.ts";
import { openSecondFile, shareFile } from "./second-file.ts";

/**
 * Opens a file of the same model in fewer bits, whose experts stand in for those of `target` that are not in memory.
 * @param draft Of the same model: where it is the same file, it is the one that is used.
 * @throws GrokError as `openGguf`; `argument` for a model of other measures, and one that speaks in other tokens, or is the same file
 */
export function openStandIn(path: string, target: GgufFile, draft?: GgufFile): GgufFile {
  const opened = openSecondFile(path, target, {
    ...{ option: "lossy", role: "stand in for" },
    check(file, refuse) {
      const [own, expected] = [describeModel(file), describeModel(target)];
      if (own.architecture !== expected.architecture) {
        throw refuse(`it is a ${own.architecture} model, expected ${expected.architecture}`);
      }
      for (const [name, what] of measures) {
        const [found, wanted] = [own.config?.[name], expected.config?.[name]];
        if (found !== wanted) throw refuse(`it has ${found ?? "unknown"} ${what}, expected ${wanted ?? "unknown"}`);
      }
    },
  });
  if (draft === undefined || !shareFile(opened, draft)) return opened;
  opened.close();
  return draft;
}

const measures = [
  ["layers", "layers"],
  ["experts", "experts"],
  ["used", "experts used by a token"],
  ["width", "values in a hidden state"],
  ["expertHidden", "values inside an expert"],
] as const;
