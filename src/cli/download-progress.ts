import { formatBytes } from "../errors.ts";
import type { PullProgress } from "../hub/pull.ts";
import { formatSeconds } from "./terminal.ts";

/** How far a download is, and when it will be done. */
export function describeDownload({ done, total, received, seconds }: PullProgress): string {
  const rate = seconds > 0 ? received / seconds : 0;
  const left = rate > 0 ? `, ${formatSeconds((total - done) / rate)} left` : "";
  const percent = total > 0 ? Math.floor((100 * done) / total) : 100;
  return `${percent} %, ${formatBytes(done)} of ${formatBytes(total)}, ${formatBytes(Math.round(rate))}/s${left}`;
}
