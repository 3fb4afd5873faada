import { interruptedStatus } from "./exit.ts";

/**
 * Turns the first Ctrl-C into an abort that a command can answer cleanly; the second ends the process at once. The
 * handler stays until `release`, so a command that has finished can be interrupted like any other program.
 */
export interface Interrupt extends Disposable {
  readonly signal: AbortSignal;
}

export function catchInterrupt(): Interrupt {
  const controller = new AbortController();
  const onInterrupt = () => {
    if (controller.signal.aborted) process.exit(interruptedStatus);
    controller.abort();
  };
  process.on("SIGINT", onInterrupt);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => void process.off("SIGINT", onInterrupt),
  };
}
