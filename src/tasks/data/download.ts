import type { Fields } from "../../bytes/json-fields.ts";
import { parseRepository } from "../../hub/repository.ts";
import { areTexts } from "../entries.ts";
import { readTemplate, type Template } from "../template.ts";

/** Where one of a task's files comes from: a dataset of Hugging Face's, and how its rows become the task's. */
export interface Download {
  /** The file in the folder of data; `{{part}}` is each of the task's parts, here and in `from`. */
  readonly file: string;
  /** `OWNER/NAME@REVISION`. */
  readonly dataset: string;
  /** Patterns of the dataset's files, whose rows follow each other in this order. */
  readonly from: readonly string[];
  /** Makes a row of the task's as JSON of one of the dataset's; undefined: as it is. */
  readonly row: Template | undefined;
}

/** The entry `download`: none, one for each file that can be had, `file` being the task's own by default. @throws GrokError `argument` */
export function readDownloads(all: Fields, data: string): readonly Download[] {
  if (all.value("download", "a list of objects", Array.isArray, null) === undefined) return [];
  return all.objects("download").map((fields) => {
    const dataset = fields.text("dataset");
    try {
      parseRepository(`datasets/${dataset}`);
    } catch (error) {
      fields.fail("dataset", (error as Error).message);
    }
    const row = fields.text("row", null);
    const download: Download = {
      file: fields.text("file", data),
      dataset,
      from: fields.value("from", "a list of texts", areTexts) as readonly string[],
      row: row === undefined ? undefined : readTemplate(fields, "row", row),
    };
    fields.finish();
    return download;
  });
}
