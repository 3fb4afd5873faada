import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { GrokError } from "../../errors.ts";

/**
 * The compiled program of a thread or a process, also when its caller runs as TypeScript under a test runner: threads load none.
 *
 * @param here the caller's `import.meta.url`: in a bundle the bundle's own, or nothing.
 * @param caller the caller's file below src/, without its ending, and `program` the compiled one below dist/.
 * @throws GrokError `unsupported` in a bundle, where the program is not where the caller expects it.
 */
export function programFile(here: string | undefined, caller: string, program: string): string {
  const end = [`/src/${caller}.ts`, `/dist/${caller}.js`].find((end) => here?.endsWith(end));
  const path = end && fileURLToPath(`${here!.slice(0, -end.length)}/dist/${program}`);
  if (path !== undefined && existsSync(path)) return path;
  throw new GrokError(
    "unsupported",
    `${here ?? "a bundle"}: a thread's or a process's own program, ${path ?? `dist/${program} of the package`}, is not there. ` +
      'A bundler has put grok1 into another file: keep it out, as external (esbuild: external: ["grok1"]), and installed beside',
    { module: here ?? "", ...(path !== undefined && { path }) },
  );
}
