import { GrokError, shown } from "../errors.ts";
import { request, type Web, withRetries } from "./request.ts";

/** One file of a repository, and what its bytes hash to. */
export interface RepositoryFile {
  /** With "/", below the repository's root. */
  readonly path: string;
  readonly size: number;
  readonly hash: ExpectedHash;
}

/** Large files are known by SHA-256; the others by git's SHA-1 over "blob SIZE\0" and the bytes. */
export interface ExpectedHash {
  readonly algorithm: "sha256" | "git-sha1";
  readonly hex: string;
}

export interface Repository {
  /** `owner/name` of a model, `datasets/owner/name` of a dataset. */
  readonly name: string;
  /** As asked for. */
  readonly revision: string;
  /** The commit that it stood for: 40 hexadecimal digits. */
  readonly commit: string;
  readonly files: readonly RepositoryFile[];
}

/**
 * "owner/name" or "owner/name@revision" in its parts; "datasets/" in front makes it a dataset.
 * @throws GrokError `argument`.
 */
export function parseRepository(text: string): { readonly name: string; readonly revision: string } {
  const [, name, revision = "main"] = /^((?:datasets\/)?[\w.-]+\/[\w.-]+)(?:@(.+))?$/.exec(text) ?? [];
  const parts = `${name}/${revision}`.split("/");
  if (name === undefined || !/^[\w./-]+$/.test(revision) || parts.some((part) => part === "" || /^\.+$/.test(part))) {
    const expected = "expected OWNER/NAME or OWNER/NAME@REVISION, of a dataset datasets/OWNER/NAME";
    throw new GrokError("argument", `${shown(text)} is no repository: ${expected}${hintOf(text)}`);
  }
  return { name, revision };
}

/** What was probably meant by a page's address, or by a repository with a file's path behind it. */
function hintOf(text: string): string {
  const [, name, rest] = /^(?:https?:\/\/[^/]+\/)?((?:datasets\/)?[\w.-]+\/[\w.-]+)(?:\/(.+?))?\/?$/.exec(text) ?? [];
  if (name === undefined) return "";
  const file = rest?.replace(/^(?:blob|resolve|tree)\/[^/]+\/?/, "");
  return `, such as ${name}${file ? `, and files behind a space: ${name} ${file}` : ""}`;
}

/**
 * All files of a repository at a revision, with sizes and hashes: asked by the hub's own client.
 * @throws GrokError `io`, `cancelled`; `format` for an answer that is none, or a file that would lie outside of its folder.
 */
export async function listRepository(web: Web, name: string, revision: string): Promise<Repository> {
  // Read when it is needed: nobody else waits for it.
  const { datasetInfo, listFiles, modelInfo } = await import("@huggingface/hub");
  const hub = { hubUrl: web.endpoint.replace(/\/+$/, ""), fetch: hubFetch(web) };
  const own = name.replace(/^datasets\//, "");
  const type = own === name ? "model" : "dataset";
  const asked = { ...hub, name: own, revision };
  const { sha } =
    type === "model"
      ? await modelInfo({ ...asked, additionalFields: ["sha"] })
      : await datasetInfo({ ...asked, additionalFields: ["sha"] });
  if (typeof sha !== "string" || !/^[0-9a-f]{40}$/.test(sha)) {
    throw new GrokError(
      "format",
      `${web.endpoint}: ${name} at ${revision} is commit ${shown(sha)}, expected 40 digits`,
    );
  }
  const files: RepositoryFile[] = [];
  for await (const entry of listFiles({ ...hub, repo: { type, name: own }, revision: sha, recursive: true })) {
    if (entry.type !== "directory") files.push(checkEntry(entry, `${web.endpoint}: ${name}`));
  }
  return { name, revision, commit: sha, files };
}

interface Entry {
  readonly path: unknown;
  readonly size: unknown;
  readonly oid?: unknown;
  readonly lfs?: { readonly oid?: unknown; readonly size?: unknown };
}

function checkEntry({ path, size, oid, lfs }: Entry, place: string): RepositoryFile {
  const fail = (problem: string): never => {
    throw new GrokError("format", `${place}: ${problem}`, { path: String(path) });
  };
  const outside = (part: string) => part === "" || part === "." || part === "..";
  if (typeof path !== "string" || /[\\\0]|^[a-z]:/i.test(path) || path.split("/").some(outside)) {
    return fail(`the listing has a file ${shown(path)}, expected one below the repository's folder`);
  }
  const hash: ExpectedHash =
    lfs === undefined
      ? { algorithm: "git-sha1", hex: String(oid) }
      : { algorithm: "sha256", hex: String(lfs.oid).replace(/^sha256:/, "") };
  const digits = hash.algorithm === "sha256" ? 64 : 40;
  if (!new RegExp(`^[0-9a-f]{${digits}}$`).test(hash.hex)) return fail(`${path}: the listing has no hash of it`);
  const bytes = lfs?.size ?? size;
  if (!Number.isSafeInteger(bytes) || (bytes as number) < 0) return fail(`${path}: the listing has no size of it`);
  return { path, size: bytes as number, hash };
}

/** Answers of a listing are lists of up to 1,000 files; this is far more. */
const mostListingBytes = 2 ** 26;

/** What the hub's client asks with: our token, redirects, patience and errors, since its own has none of these. */
function hubFetch(web: Web): typeof fetch {
  return async (url) => {
    const asked = String(url);
    return withRetries(web, async () => {
      const { response, parts, close } = await request(web, asked, { accept: "application/json" });
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      try {
        for await (const part of parts) {
          bytes += part.length;
          if (bytes > mostListingBytes)
            throw new GrokError("format", `${asked}: a listing of more than ${mostListingBytes} bytes`);
          chunks.push(part);
        }
      } finally {
        close();
      }
      const text = Buffer.concat(chunks).toString();
      try {
        JSON.parse(text);
      } catch (error) {
        throw new GrokError("format", `${asked}: not JSON: ${shown(text)}`, { url: asked }, error);
      }
      const { status, headers } = response;
      return new Response(text, { status, headers });
    });
  };
}
