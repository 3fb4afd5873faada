/**
 * Processor time, in seconds, that `work` takes: the least of `times` runs. Other programs on a busy machine slow it down
 * little, where they would multiply the time on the clock.
 */
export function processorSeconds(work: () => void, times = 1): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) {
    const start = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(start);
    least = Math.min(least, (user + system) / 1e6);
  }
  return least;
}
