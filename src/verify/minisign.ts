import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { existsSync } from "node:fs";
import { readTextFile } from "../bytes/text-file.ts";
import { GrokError, shown } from "../errors.ts";

/**
 * Signatures in the format of minisign (jedisct1.github.io/minisign): Ed25519 over a file's BLAKE2b-512 hash ("ED"), or over the file
 * itself ("Ed", before version 0.10), and a second one over the first and a comment that can be trusted with it.
 */
export interface Signature {
  readonly path: string;
  /** Over the file's BLAKE2b-512 hash; otherwise over its bytes. */
  readonly prehashed: boolean;
  /** 16 hexadecimal digits, as minisign shows it. */
  readonly keyId: string;
  /** To be believed once {@link checkSignature} has. */
  readonly comment: string;
  readonly bytes: Buffer;
  readonly globalBytes: Buffer;
}

export interface PublicKey {
  readonly keyId: string;
  readonly key: KeyObject;
}

/** Where the signature of a file lies. */
export function signaturePath(path: string): string {
  return `${path}.minisig`;
}

/**
 * A public key as minisign gives it: the base64 text itself, or the file `minisign.pub` that has it.
 * @throws GrokError `io`, `argument`.
 */
export function readPublicKey(keyOrFile: string): PublicKey {
  const text = isKey(keyOrFile) && !existsSync(keyOrFile) ? keyOrFile : readTextFile(keyOrFile);
  const lines = text.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("untrusted comment:"));
  const bytes = lines.length === 1 ? decode(lines[0]!, 42) : undefined;
  if (bytes === undefined || bytes.toString("latin1", 0, 2) !== "Ed") {
    const message = `${shown(keyOrFile)}: not a public key of minisign: expected 56 characters of base64 that begin with RW, or a file with them`;
    throw new GrokError("argument", message, { option: "publicKey" });
  }
  return { keyId: keyIdOf(bytes), key: ed25519Key(bytes.subarray(10)) };
}

const isKey = (text: string) => /^RW[\w+/]{54}$/.test(text);

/** @throws GrokError `io`; `format` for what is no signature. */
export function readSignature(path: string): Signature {
  const [untrusted = "", first = "", trusted = "", second = "", ...rest] = readTextFile(path).split(/\r?\n/);
  const bytes = decode(first, 74);
  const globalBytes = decode(second, 64);
  const algorithm = bytes?.toString("latin1", 0, 2);
  const prefix = "trusted comment: ";
  const whole = untrusted.startsWith("untrusted comment:") && trusted.startsWith(prefix) && rest.join("") === "";
  if (!whole || bytes === undefined || globalBytes === undefined || (algorithm !== "ED" && algorithm !== "Ed")) {
    throw new GrokError("format", `${path}: not a signature of minisign`, { path });
  }
  return {
    path,
    prehashed: algorithm === "ED",
    keyId: keyIdOf(bytes),
    comment: trusted.slice(prefix.length),
    bytes: bytes.subarray(10),
    globalBytes,
  };
}

/**
 * Why a signature is not to be believed; undefined when it is.
 * @param signed the file's BLAKE2b-512 hash, or its bytes where the signature is not prehashed.
 */
export function checkSignature(
  signature: Signature,
  { key, keyId }: PublicKey,
  signed: Uint8Array,
): string | undefined {
  if (signature.keyId !== keyId) return `signed with the key ${signature.keyId}, not with ${keyId}`;
  if (!verify(null, signed, key, signature.bytes)) return "the signature is not this file's";
  const global = Buffer.concat([signature.bytes, Buffer.from(signature.comment)]);
  return verify(null, global, key, signature.globalBytes) ? undefined : "the trusted comment was changed";
}

/** Exactly `length` bytes of canonical base64. */
function decode(text: string, length: number): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.length === length && bytes.toString("base64") === text ? bytes : undefined;
}

/** minisign shows the identifier as a little-endian number. */
function keyIdOf(bytes: Buffer): string {
  return bytes.readBigUInt64LE(2).toString(16).toUpperCase().padStart(16, "0");
}

/** RFC 8410: an Ed25519 key's DER is this and the key itself. */
function ed25519Key(bytes: Buffer): KeyObject {
  const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), bytes]);
  return createPublicKey({ key: der, format: "der", type: "spki" });
}
