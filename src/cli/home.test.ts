import { execFileSync } from "node:child_process";
import { homedir } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { homeFolder } from "./home.ts";

it("is the user's", () => {
  expect(homeFolder()).toBe(homedir());
});

// Only root can become somebody whom the system does not know.
it.skipIf(process.getuid?.() !== 0)(
  "is the root for a user whom the system does not know, and the command goes on",
  () => {
    const cli = pathToFileURL(resolve(import.meta.dirname, "../../dist/cli/config.js")).href;
    const program = `import(${JSON.stringify(cli)}).then((config) => {
    process.setuid(54321);
    process.stdout.write(config.configPath({}));
  });`;
    const path = execFileSync(process.execPath, ["-e", program], { env: {}, encoding: "utf8" });
    expect(path).toBe("/.config/grok1/config.json");
  },
);
