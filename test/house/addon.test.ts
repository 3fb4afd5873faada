import { expect, it } from "vitest";
import { loadAddon } from "../../src/addon.ts";
import { reportAddon } from "../../src/cli/addon-report.ts";

const report = reportAddon(loadAddon());
const without = report.present || report.cause !== "no-compiler" ? "" : ` (skipped: ${report.reason})`;

// Tests of the native backend skip where there is none. This one sees to it that they do not do so unseen.
it.skipIf(without !== "")(`where there is a C++ compiler, the addon is there too, of these sources${without}`, () => {
  expect(report).toMatchObject({ present: true });
});
