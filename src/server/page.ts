import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";
import { ioError } from "../bytes/io-error.ts";

/** The files of a page: which a request asks for, if any. */
export type Page = (request: Request) => Response | undefined;

const types: Readonly<Record<string, string>> = {
  ...{ ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8" },
  ...{ ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml" },
};

/**
 * The page shows what a model wrote, which is nobody's word: nothing but the page's own files runs or is asked for, no text becomes
 * markup (trusted types), and no other page can put a frame around it.
 */
const headers: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'self'",
    ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "object-src 'none'"],
    ...["require-trusted-types-for 'script'", "trusted-types 'none'"],
  ].join("; "),
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
};

/**
 * Reads the built page in `folder`. Its files are few and small: all are held, and an address is looked up among them, so that none
 * becomes a path on the disk. What lies in `assets/` has the hash of its content in its name, and is good for ever.
 * @throws GrokError `io` where it cannot be read
 */
export function readPage(folder: string): Page {
  const files = new Map<string, { readonly body: Uint8Array<ArrayBuffer>; readonly headers: Record<string, string> }>();
  try {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const name = relative(folder, path).split(sep).join("/");
      const body = new Uint8Array(readFileSync(path));
      const tag = `"${createHash("sha256").update(body).digest("hex").slice(0, 32)}"`;
      const cache = name.startsWith("assets/") ? "public, max-age=31536000, immutable" : "no-cache";
      const type = types[extname(name)] ?? "application/octet-stream";
      files.set(name === "index.html" ? "/" : `/${name}`, {
        body,
        headers: { ...headers, "content-type": type, "cache-control": cache, etag: tag },
      });
    }
  } catch (error) {
    throw ioError("read the page", folder, error);
  }
  return (request) => {
    if (request.method !== "GET" && request.method !== "HEAD") return undefined;
    const file = files.get(new URL(request.url).pathname);
    if (file === undefined) return undefined;
    if (request.headers.get("if-none-match") === file.headers.etag) {
      return new Response(null, { status: 304, headers: file.headers });
    }
    return new Response(request.method === "HEAD" ? null : file.body, { headers: file.headers });
  };
}
