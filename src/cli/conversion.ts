import type { ConversionPlan, ConvertProgress } from "../convert/convert.ts";
import { escapeLine, formatBytes, formatSeconds, table } from "./terminal.ts";

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
${escapeLine(source)} is ${kind}: ${tensors.length} tensors, ${formatBytes(storedBytes)} to read, a file of ${formatBytes(bytes)} to write
`;
}
