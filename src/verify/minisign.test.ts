import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { checkSignature, readPublicKey, readSignature } from "./minisign.ts";

const folder = mkdtempSync(join(tmpdir(), "grok1-minisign-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Keys and signatures that minisign 0.11 made of this text. */
const data = Buffer.from("hello weights\n");
const key = "RWSWkKGeDbAWQxNKHIsCPwp8I+I8m/ZKqLGAlsLZb5VA7ikwg/ta6rFh";
const otherKey = "RWQif1H2idtEEpGToVvrJwDNm7VGD2grE0s0uHn38THrf6YUyPa1aBeT";
const prehashed = `untrusted comment: signature from minisign secret key
RUSWkKGeDbAWQzLAiFN1sRWvgJmAJDz1+gigF7gF0B9ZY+J+aM+OCJwDUPrlZYlnehKQrk6dIhTtfhw6EWfxC5DV2JVej+TpCQY=
trusted comment: trusted ünï
H9+xTEitBhsqIPQT2nJ4zWjjeBiOZQyK1GMotS6Y1ADORcuSekIbzwO+K+M+XxUVtkKLTWNfuzZ9p99eRJPcBQ==
`;
const legacy = `untrusted comment: signature from minisign secret key
RWSWkKGeDbAWQ+SMEP156rNZ8vnmMELfME0MsyrU6z9jQzuWW6ybWJbpeoedWjF8GVYjFG6Fvo44ckQ+qQOOAbIqVz1q39vMxgE=
trusted comment: legacy one
at70r2eDx9w68Hjg9SszXbttNY7DpnbrVWVrDcdHyWlkBZhUNUgpYxT3tclGMffYlhxdo+s68XqIz/Dzz0MfCA==
`;
const path = join(folder, "data.minisig");
const write = (text: string) => {
  writeFileSync(path, text);
  return readSignature(path);
};
const hash = (bytes: Uint8Array) => createHash("blake2b512").update(bytes).digest();

describe("minisign's signatures", () => {
  it.each([
    ["prehashed", prehashed, hash(data), "trusted ünï"],
    ["of the file itself", legacy, data, "legacy one"],
  ])("%s, are believed", (name, text, signed, comment) => {
    const signature = write(text);
    expect(signature).toMatchObject({ comment, keyId: "4316B00D9EA19096", prehashed: name === "prehashed" });
    expect(checkSignature(signature, readPublicKey(key), signed)).toBeUndefined();
    expect(checkSignature(write(text.replaceAll("\n", "\r\n")), readPublicKey(key), signed)).toBeUndefined();
  });

  it("are not believed of another file, key or comment", () => {
    const signature = write(prehashed);
    const publicKey = readPublicKey(key);
    expect(checkSignature(signature, publicKey, hash(Buffer.from("hello weights")))).toMatch(/not this file's/);
    expect(checkSignature(signature, readPublicKey(otherKey), hash(data))).toMatch(/with the key 4316B.*not with 1244/);
    const renamed = write(prehashed.replace("trusted ünï", "trusted uni"));
    expect(checkSignature(renamed, publicKey, hash(data))).toMatch(/comment was changed/);
    // Nor one kind in place of the other.
    expect(checkSignature(write(prehashed.replace("RUSW", "RWSW")), publicKey, data)).toMatch(/not this file's/);
  });

  it("are told from other text", () => {
    for (const text of [
      "",
      "x\n",
      key,
      prehashed.replace("trusted comment: t", "t"),
      prehashed.replace("CQY=", "CQ=="),
      prehashed.replace("RUSW", "RVSW"),
      `${prehashed}more\n`,
    ]) {
      expect(() => write(text)).toThrow(expect.objectContaining({ code: "format" }));
    }
  });

  it("have keys as text and in files", () => {
    const file = join(folder, "minisign.pub");
    writeFileSync(file, `untrusted comment: minisign public key 4316B00D9EA19096\n${key}\n`);
    expect(readPublicKey(file).keyId).toBe("4316B00D9EA19096");
    expect(readPublicKey(key).keyId).toBe("4316B00D9EA19096");
    for (const wrong of [key.slice(1), `${key}A`, key.replace("RWS", "RUS"), join(folder, "none")]) {
      expect(() => readPublicKey(wrong)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/argument|io/) }),
      );
    }
  });
});
