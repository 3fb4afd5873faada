import { existsSync } from "node:fs";
import { partialName } from "../bytes/resumable-write.ts";
import type { ConversionPlan, ConvertProgress, ConvertResult } from "../convert/convert.ts";
import { counted, formatBytes } from "../errors.ts";
import { catchInterrupt } from "./interrupt.ts";
import { createProgress, escapeLine, formatSeconds, jsonDocument, table } from "./terminal.ts";

/** Name, share, rate of what this run reads, and time left by it; a few times a second. */
export function describeProgress(show: (line: string) => void): (progress: ConvertProgress) => void {
  let shown = Number.NEGATIVE_INFINITY;
  let began: { time: number; done: number } | undefined;
  return ({ tensor, index, tensors, done, total, kept }) => {
    const now = performance.now();
    if (done === kept) began = undefined;
    else began ??= { time: now, done: kept };
    if (now - shown < 200) return;
    shown = now;
    const share = `${Math.floor((100 * done) / Math.max(1, total))} %`;
    if (began === undefined || now === began.time) {
      show(`${index + 1} of ${tensors}  ${share}  ${tensor}: checking what an earlier run wrote`);
      return;
    }
    const rate = (1000 * (done - began.done)) / (now - began.time);
    const left = rate > 0 ? `, ${formatSeconds((total - done) / rate)} left` : "";
    show(`${index + 1} of ${tensors}  ${share}  ${formatBytes(rate)}/s${left}  ${tensor}`);
  };
}

/** What would be written, tensor by tensor. */
export function renderPlan({ source, kind, tensors, storedBytes, bytes }: ConversionPlan): string {
  const rows = tensors.map(({ name, shape, stored, from, type, bytes: size }) => [
    ...[escapeLine(name), `[${shape.join(", ")}]`, type, formatBytes(size)],
    from === undefined ? stored : `${stored}, in ${escapeLine(from)}`,
  ]);
  return `${table([["tensor", "shape", "written as", "size", "stored as"], ...rows], [3])}
${escapeLine(source)} is ${kind}: ${counted(tensors.length, "tensor")}, ${formatBytes(storedBytes)} to read, a file of ${formatBytes(bytes)} to write
`;
}

/** What a conversion at a terminal is given. */
interface ConversionRun {
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: ConvertProgress) => void;
  /** Shows another line in the place of progress. */
  readonly show: (line: string) => void;
}

/** Runs a conversion to `out`: progress, then what `render` makes of the result, or JSON; when it is stopped, that it can go on. */
export async function runConversion<R extends object>(
  out: string,
  json: boolean | undefined,
  convert: (run: ConversionRun) => Promise<R>,
  render: (result: R, seconds: string) => string,
): Promise<void> {
  using interrupt = catchInterrupt();
  const progress = createProgress(process.stderr, process.env);
  const show = (line: string) => progress.show(line);
  try {
    const began = performance.now();
    const result = await convert({ signal: interrupt.signal, onProgress: describeProgress(show), show });
    const seconds = (performance.now() - began) / 1000;
    progress.clear();
    process.stdout.write(json ? `${jsonDocument({ ...result, seconds })}\n` : render(result, formatSeconds(seconds)));
  } catch (error) {
    progress.clear();
    if (interrupt.signal.aborted && existsSync(partialName(out))) {
      process.stderr.write("grok1: stopped; the same command goes on from here\n");
    }
    throw error;
  } finally {
    progress.clear();
  }
}

/** `OUT: 12 tensors, 3 of them by an earlier run, 1.2 GB` */
export function renderWritten({ out, tensors, bytes, kept }: ConvertResult): string {
  const before = kept > 0 ? `, ${kept} of them by an earlier run` : "";
  return `${escapeLine(out)}: ${counted(tensors.length, "tensor")}${before}, ${formatBytes(bytes)}`;
}
