// Which sources an addon was built from: a hash of all that is compiled. The build puts it into the addon, and the compiled
// TypeScript remembers the one it was written for (dist/addon-sources.txt): an addon of other sources is refused.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export function hashSources(folder = import.meta.dirname) {
  const sum = createHash("sha256");
  for (const file of readdirSync(folder).sort()) {
    if (!/\.(cpp|h)$/.test(file)) continue;
    // Git may give a text other line ends on Windows.
    const text = readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n");
    sum.update(file).update("\0").update(text).update("\0");
  }
  return sum.digest("hex").slice(0, 16);
}
