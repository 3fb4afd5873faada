import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { writeAtomic } from "../bytes/atomic-write.ts";
import { readHead } from "../bytes/head.ts";
import { ioError } from "../bytes/io-error.ts";
import { readWhole } from "../bytes/whole-file.ts";
import { GrokError } from "../errors.ts";
import { formatChecksums, looksLikeChecksums, readChecksums } from "../formats/checksums.ts";
import { manifestPath, readManifest, writeManifest } from "../formats/manifest.ts";
import { isCheckpoint } from "../formats/xai/checkpoint.ts";
import { checkList, checkNames, checkTexts } from "../options.ts";
import { checkSignature, type PublicKey, readPublicKey, readSignature, signaturePath } from "./minisign.ts";
import { checkModelFile, isModelFile, makeManifests } from "./model-file.ts";
import { checkCheckpoint, checkIndex, checkNumbered, sayMissing } from "./parts.ts";
import { createPool, type Pool, type PoolOptions } from "./pool.ts";
import type { Check, Report } from "./report.ts";

export interface VerifyOptions extends PoolOptions {
  /** Only headers and names: what can be told without reading whole files. */
  readonly quick?: boolean;
  /** Minisign's key of who is believed, or its file. With it, what is named has to be signed. */
  readonly publicKey?: string | undefined;
}

interface Look {
  readonly quick: boolean;
  readonly key: PublicKey | undefined;
}

/** What a folder's list of checksums is called. */
export const sumsName = "SHA256SUMS";

/**
 * Checks files and folders against all that can be known of them: lists of checksums, manifests and signatures that are named or lie
 * beside them, headers, the numbers in tensors, and whether all files are there that belong together.
 *
 * @throws GrokError `io` for a path that is not there, `argument` for a key that is none, `cancelled`; everything else that is wrong is in the report.
 */
export async function verify(paths: readonly string[], options: VerifyOptions = {}): Promise<Report> {
  checkNames("verify", options, [...poolNames, "quick", "publicKey"]);
  checkPaths(paths);
  const { quick = false, publicKey } = options;
  const look = { quick, key: publicKey === undefined ? undefined : readPublicKey(publicKey) };
  return withPool(options, async (pool, seen) => {
    const began = performance.now();
    const lists = await Promise.all(paths.map((path) => checkPath(path, pool, look)));
    const checks = distinct(lists.flat());
    const seconds = (performance.now() - began) / 1000;
    return { ok: checks.every(({ verdict }) => verdict !== "failed"), checks, bytes: seen(), seconds };
  });
}

const poolNames = ["threads", "signal", "onBytes"];

function checkPaths(paths: readonly string[]): void {
  checkList("paths", paths);
  checkTexts("paths", paths);
}

async function withPool<T>(options: PoolOptions, use: (pool: Pool, seen: () => number) => Promise<T>): Promise<T> {
  let bytes = 0;
  const onBytes = (done: number) => {
    bytes = done;
    options.onBytes?.(done);
  };
  const pool = createPool({ ...options, onBytes });
  try {
    return await use(pool, () => bytes);
  } finally {
    await pool.close();
  }
}

/** The same file may be reached in several ways. */
function distinct(checks: readonly Check[]): Check[] {
  return [...new Map(checks.map((check) => [JSON.stringify({ ...check, path: resolve(check.path) }), check])).values()];
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    throw ioError("read", path, error);
  }
}

async function checkPath(path: string, pool: Pool, options: Look): Promise<Check[]> {
  if (isFolder(path)) return checkFolder(path, pool, options);
  return checkFile(path, pool, { ...options, named: true });
}

interface FileOptions extends Look {
  /** By the caller, and not found in a folder. */
  readonly named: boolean;
}

async function checkFile(path: string, pool: Pool, options: FileOptions): Promise<Check[]> {
  const signature = await checkSigned(path, pool, options);
  const content = async (): Promise<Check[]> => {
    if (path.endsWith(".manifest.json")) return checkFile(describedBy(path), pool, { ...options, key: undefined });
    if (path.endsWith(".index.json")) {
      const complete = checkIndex(path);
      if (complete.verdict !== "ok" || !path.endsWith(".safetensors.index.json")) return [complete];
      return [complete, ...(await checkModelFile(path, pool, options.quick))];
    }
    if (isModelFile(path)) {
      return [...(await checkModelFile(path, pool, options.quick)), ...(await checkOwnSum(path, pool, options))];
    }
    if (isSums(path)) return options.quick ? [checkListed(path)] : checkSums(path, pool);
    return checkOwnSum(path, pool, options);
  };
  const checks = [...signature, ...(await failing(path, content))];
  if (checks.length > 0 || !options.named) return checks;
  if (options.quick && existsSync(sumsOf(path))) {
    return [{ path, check: "sha256", verdict: "note", detail: "nothing to look at without reading it" }];
  }
  const detail = `nothing to check it against: it is no model, and there is no ${basename(sumsOf(path))}`;
  return [{ path, check: "sha256", verdict: "failed", detail }];
}

/** The list of a file's own. */
const sumsOf = (path: string): string => `${path}.sha256`;

/** What is wrong with a file itself is a finding. */
async function failing(path: string, check: () => Promise<Check[]>): Promise<Check[]> {
  try {
    return await check();
  } catch (error) {
    if (!(error instanceof GrokError) || error.code === "cancelled" || error.code === "internal") throw error;
    return [{ path, check: "readable", verdict: "failed", detail: error.message }];
  }
}

/** The model file that a manifest lies beside. */
function describedBy(path: string): string {
  const file = join(dirname(path), readManifest(path).file);
  if (manifestPath(file) === path) return file;
  throw new GrokError(
    "format",
    `${path}: is the manifest of ${basename(file)}, expected beside it as ${basename(manifestPath(file))}`,
  );
}

function isSums(path: string): boolean {
  if (/\.minisig$/.test(path)) return false;
  // Enough for a hash and the longest name; a model's bytes are no text.
  return looksLikeChecksums(readHead(path, 8192).toString("latin1"));
}

/** All files of a list. */
async function checkSums(path: string, pool: Pool): Promise<Check[]> {
  const lines = readChecksums(path);
  return Promise.all(
    lines.map(({ name, sha256 }) => checkSum(join(dirname(path), name), sha256, basename(path), pool)),
  );
}

/** Whether all files of a list are there. */
function checkListed(path: string): Check {
  const lines = readChecksums(path);
  const missing = lines.map(({ name }) => name).filter((name) => !existsSync(join(dirname(path), name)));
  const complete = (verdict: Check["verdict"], detail: string): Check => ({ path, check: "complete", verdict, detail });
  return complete(...sayMissing(missing, lines.length));
}

/** A file that has a list of its own, `NAME.sha256`. */
async function checkOwnSum(path: string, pool: Pool, { quick }: FileOptions): Promise<Check[]> {
  const sums = sumsOf(path);
  return quick || !existsSync(sums) ? [] : checkSums(sums, pool);
}

async function checkSum(path: string, expected: string, source: string, pool: Pool): Promise<Check> {
  const sum = (verdict: Check["verdict"], detail: string): Check => ({ path, check: "sha256", verdict, detail });
  if (!existsSync(path)) return sum("failed", `missing, ${source} has it`);
  try {
    const { hash } = await pool.run({ path, offset: 0, hash: "sha256" });
    return hash === expected ? sum("ok", `as ${source} says`) : sum("failed", `${hash}, ${source} says ${expected}`);
  } catch (error) {
    if (error instanceof GrokError && error.code === "io") return sum("failed", error.message);
    throw error;
  }
}

/** A signature over more bytes than these has to be of their hash: the others have to be in memory as a whole. */
const mostSignedBytes = 2 ** 28;

async function checkSigned(path: string, pool: Pool, { key, named }: FileOptions): Promise<Check[]> {
  const file = signaturePath(path);
  const check = (verdict: Check["verdict"], detail: string): Check[] => [{ path, check: "signature", verdict, detail }];
  if (!existsSync(file)) return key && named ? check("failed", `not signed: there is no ${basename(file)}`) : [];
  if (!key) return check("note", "signed; a public key (--public-key) checks it");
  return failing(path, async () => {
    const signature = readSignature(file);
    const signed = signature.prehashed
      ? Buffer.from((await pool.run({ path, offset: 0, hash: "blake2b512" })).hash, "hex")
      : readWhole(path, mostSignedBytes);
    const problem = checkSignature(signature, key, signed);
    if (problem !== undefined) return check("failed", problem);
    return check("ok", `signed with the key ${key.keyId}: ${signature.comment}`);
  });
}

async function checkFolder(folder: string, pool: Pool, options: Look): Promise<Check[]> {
  const names = readdirSync(folder).sort();
  const inner = names.includes("ckpt-0") && isFolder(join(folder, "ckpt-0")) ? [join(folder, "ckpt-0")] : [];
  const checks = [...checkNumbered(folder, names)];
  if (isCheckpoint(names)) checks.push(checkCheckpoint(folder, names));
  const sharded = new Set<string>();
  for (const name of names.filter((each) => each.endsWith(".index.json"))) {
    for (const other of names) if (/-\d{5}-of-\d{5}\.safetensors$/.test(other)) sharded.add(other);
    checks.push(...(await checkFile(join(folder, name), pool, { ...options, named: false })));
  }
  // Of a split model the first file opens all.
  const models = names.filter(
    (name) => isModelFile(name) && !sharded.has(name) && !/-(?!00001)\d{5}-of-\d{5}\.gguf$/.test(name),
  );
  const sums = names.filter((name) => name === sumsName || /\.sha256$/.test(name));
  const named = (name: string) => name === sumsName;
  const files = [...new Set([...sums, ...models])].map((name) =>
    checkFile(join(folder, name), pool, { ...options, named: named(name) }),
  );
  checks.push(...(await Promise.all(files)).flat());
  for (const one of inner) checks.push(...(await checkFolder(one, pool, options)));
  if (checks.length > 0) return checks;
  return [{ path: folder, check: "complete", verdict: "failed", detail: "nothing in it that is known how to check" }];
}

/**
 * Writes what {@link verify} checks later: of a folder `SHA256SUMS` with all files in it and below, of a model file its manifest,
 * of another file `NAME.sha256`. What is there already stays: it may be what somebody else vouches for.
 *
 * @returns the files written.
 * @throws GrokError `io`; `argument` where one is there already; `cancelled`.
 */
export async function writeSums(paths: readonly string[], options: PoolOptions = {}): Promise<string[]> {
  checkNames("writeSums", options, poolNames);
  checkPaths(paths);
  return withPool(options, async (pool) => {
    const written: string[] = [];
    for (const path of paths) {
      if (!isFolder(path) && isModelFile(path)) {
        const manifests = await makeManifests(path, pool);
        for (const one of manifests.keys()) refuseOld(manifestPath(one));
        for (const [one, manifest] of manifests) {
          await writeManifest(one, manifest);
          written.push(manifestPath(one));
        }
        continue;
      }
      const [out, names] = isFolder(path)
        ? [join(path, sumsName), listFiles(path, path).filter((name) => !name.startsWith(sumsName))]
        : [`${path}.sha256`, [basename(path)]];
      refuseOld(out);
      const base = dirname(out);
      const hashes = await Promise.all(
        names.map((name) => pool.run({ path: join(base, name), offset: 0, hash: "sha256" })),
      );
      const text = formatChecksums(names.map((name, i) => ({ name, sha256: hashes[i]!.hash })));
      await writeAtomic(out, [Buffer.from(text)]);
      written.push(out);
    }
    return written;
  });
}

function refuseOld(path: string): void {
  if (!existsSync(path)) return;
  throw new GrokError(
    "argument",
    `${path}: is there already; without --write it is checked; remove it first to write a new one`,
    {
      path,
    },
  );
}

/** Names of all files, by "/", relative to `root`, sorted. Links to files count as files, links to folders are passed over. */
function listFiles(folder: string, root: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return listFiles(path, root);
      if (!entry.isFile() && !(entry.isSymbolicLink() && statSync(path, { throwIfNoEntry: false })?.isFile()))
        return [];
      return [relative(root, path).split(sep).join("/")];
    })
    .sort();
}
