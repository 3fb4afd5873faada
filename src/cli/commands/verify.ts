import type { Command } from "commander";
import { counted, formatBytes } from "../../errors.ts";
import type { Report } from "../../verify/report.ts";
import { sumsName, verify, writeSums } from "../../verify/verify.ts";
import { usageError } from "../exit.ts";
import { catchInterrupt } from "../interrupt.ts";
import { addSettings } from "../settings.ts";
import { createProgress, escapeLine, formatSeconds, jsonDocument, table } from "../terminal.ts";
import { expandHome, text } from "../values.ts";

interface VerifyCommandOptions {
  readonly write?: true;
  readonly quick?: true;
  readonly publicKey?: string;
  readonly threads?: number;
  readonly json?: true;
}

export function addVerify(program: Command): void {
  const command = program
    .command("verify")
    .description("Whether files are whole and right: checksums, signatures, all parts there, healthy tensors.")
    .argument("<path...>", `a list of checksums (sha256sum's format), a model file, a manifest, or a folder of them`)
    .option(
      "--write",
      `write what is checked later: of a folder ${sumsName}, of a model FILE.manifest.json with each tensor's hash, of another file FILE.sha256`,
    )
    .option("--quick", "only headers, names and sizes, without reading whole files")
    .option("--public-key <key>", "minisign's public key, or its file: what is named has to be signed with it", text())
    .option("--json", "print one JSON document");
  addSettings(command, ["threads"]);
  command.action((paths: string[], options: VerifyCommandOptions) => runVerify(paths.map(expandHome), options));
}

async function runVerify(paths: readonly string[], options: VerifyCommandOptions): Promise<void> {
  if (options.write && (options.quick || options.publicKey !== undefined)) {
    throw usageError(`--write hashes files: it takes no ${options.quick ? "--quick" : "--public-key"}`);
  }
  using interrupt = catchInterrupt();
  const progress = createProgress(process.stderr, process.env);
  const began = performance.now();
  const pool = {
    threads: options.threads,
    signal: interrupt.signal,
    onBytes: (done: number) => progress.show(`${formatBytes(done)} read, ${rate(done, performance.now() - began)}`),
  };
  if (options.write) {
    const written = await writeSums(paths, pool).finally(() => progress.clear());
    process.stdout.write(
      options.json ? `${jsonDocument({ written })}\n` : written.map((path) => `${escapeLine(path)}\n`).join(""),
    );
    return;
  }
  const publicKey = options.publicKey && expandHome(options.publicKey);
  const report = await verify(paths, { ...pool, quick: options.quick === true, publicKey }).finally(() =>
    progress.clear(),
  );
  process.stdout.write(options.json ? `${jsonDocument(report)}\n` : render(report));
  if (!report.ok) process.exitCode = 1;
}

const rate = (bytes: number, milliseconds: number) => `${formatBytes(Math.round((1000 * bytes) / milliseconds))}/s`;

function render({ ok, checks, bytes, seconds }: Report): string {
  const rows = checks.map(({ path, check, verdict, detail }) => [
    ...[verdict === "failed" ? "FAILED" : verdict, check, escapeLine(path), escapeLine(detail)],
  ]);
  const failed = checks.filter(({ verdict }) => verdict === "failed").length;
  const read =
    bytes > 0 ? `, ${formatBytes(bytes)} read in ${formatSeconds(seconds)} (${rate(bytes, 1000 * seconds)})` : "";
  const all = counted(checks.filter(({ verdict }) => verdict !== "note").length, "check");
  const verdict = ok ? `${all} passed, none failed` : `${failed} of ${all} failed`;
  return `${table(rows)}${verdict}${read}\n`;
}
