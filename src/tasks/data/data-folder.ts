import { existsSync } from "node:fs";
import { join } from "node:path";
import { readTextFile } from "../../bytes/text-file.ts";
import { GrokError } from "../../errors.ts";
import type { BaseTask } from "../base-task.ts";
import { fileOf, partsOf } from "../parts.ts";
import { checkOrigin, readManifest } from "./manifest.ts";

/** A folder of data as one task reads it. */
export interface DataFolder {
  /** Where a file is: of the task's own, where that is not there, the one that is read otherwise. */
  pathOf(file: string): string;
  /** @throws GrokError `io`, saying where a file that is missing is to be had; `format` for one that is not what was downloaded. */
  read(file: string): string;
}

/** @throws GrokError `io`, `format` for a manifest that cannot be read. */
export function openDataFolder(folder: string, task: BaseTask): DataFolder {
  const manifest = readManifest(folder);
  const chosen = (file: string) =>
    file === task.data && task.otherwise !== undefined && !existsSync(join(folder, file)) ? task.otherwise : file;
  const pathOf = (file: string) => join(folder, chosen(file));
  return {
    pathOf,
    read(file) {
      const path = pathOf(file);
      if (!existsSync(path)) throw missing(file, folder, task);
      const text = readTextFile(path);
      checkOrigin(manifest, folder, chosen(file), text);
      return text;
    },
  };
}

function missing(file: string, folder: string, task: BaseTask): GrokError {
  const { name, source } = task;
  const path = join(folder, file);
  const how = canDownload(task, file)
    ? `grok1 pull-data ${name} --data ${folder} downloads it`
    : `it is to be had from ${source}`;
  const message = `${path}: there is no such file, which ${name} needs: ${how}; grok1 eval --list says which data are missing`;
  return new GrokError("io", message, { path, task: name });
}

/** Whether `pullData` can make a file of a task's. */
export function canDownload(task: BaseTask, file: string): boolean {
  return task.downloads.some((download) => partsOf(task).some((part) => fileOf(download.file, part) === file));
}

/** The files of a task that are not in a folder, each once. */
export function missingFiles(task: BaseTask, files: readonly string[], folder: string): readonly string[] {
  const { pathOf } = openDataFolder(folder, task);
  return files.filter((file) => !existsSync(pathOf(file)));
}
