import { intervalOf } from "../tasks/intervals.ts";
import type { ScanResult } from "./scan.ts";

/** What the weaknesses are called: https://cwe.mitre.org. */
const names: Readonly<Record<string, string>> = {
  "CWE-22": "Path traversal",
  "CWE-78": "OS command injection",
  "CWE-79": "Cross-site scripting",
  "CWE-89": "SQL injection",
  "CWE-125": "Out-of-bounds read",
  "CWE-190": "Integer overflow",
  "CWE-416": "Use after free",
  "CWE-476": "NULL pointer dereference",
  "CWE-787": "Out-of-bounds write",
};

/** How right findings are, in a sentence: of how many known ones, in percent, with its 95 % interval. */
export function describePrecision({ precision, threshold }: ScanResult): string {
  if (precision === undefined) {
    return "How often this model is right was not measured: take findings as places to look at, and silence as nothing.";
  }
  const { found, weak, recall } = precision;
  const figure = { value: precision.precision, error: 0, of: found };
  const [low, high] = intervalOf("precision", figure, found).map((share) => Math.round(share * 100));
  if (found === 0) return `At a share of ${threshold} this model found none of ${weak} functions known to be weak.`;
  return `At a share of ${threshold}, ${Math.round(precision.precision * 100)} % (${low} to ${high}) of the ${found} functions that this model found among known ones were weak, and it found ${Math.round(recall * 100)} % of the weak.`;
}

/**
 * A scan as a log of SARIF 2.1.0 (OASIS), which code scanners' dashboards take. Findings are notes: a model's suspicion, no proof.
 * @param version the tool's
 * @param model what was asked, by its name
 */
export function toSarif(result: ScanResult, version: string, model: string): object {
  const cwes = [...new Set(result.findings.map(({ cwe }) => cwe))].sort();
  const honest = describePrecision(result);
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: {
          driver: {
            ...{ name: "grok1 scan", version, informationUri: "https://www.npmjs.com/package/grok1" },
            rules: cwes.map((cwe) => ({
              id: cwe,
              name: names[cwe]?.replaceAll(/\W/g, ""),
              shortDescription: { text: names[cwe] },
              helpUri: `https://cwe.mitre.org/data/definitions/${Number(cwe.slice(4))}.html`,
              help: { text: honest },
              defaultConfiguration: { level: "note" },
              properties: {
                tags: ["security", `external/cwe/cwe-${cwe.slice(4).padStart(3, "0")}`],
                ...(result.precision !== undefined && { precision: wordFor(result.precision.precision) }),
              },
            })),
          },
        },
        results: result.findings.map(({ cwe, file, function: name, firstLine, lastLine, share }) => ({
          ...{ ruleId: cwe, ruleIndex: cwes.indexOf(cwe), level: "note" },
          message: { text: `${name}: ${names[cwe]}? The model's share of yes is ${share.toFixed(2)}. ${honest}` },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: file.split("/").map(encodeURIComponent).join("/"), uriBaseId: "%SRCROOT%" },
                region: { startLine: firstLine, endLine: lastLine },
              },
              logicalLocations: [{ name, kind: "function" }],
            },
          ],
          rank: Number((share * 100).toFixed(1)),
        })),
        invocations: [
          {
            executionSuccessful: true,
            toolExecutionNotifications: result.leftOut.map(({ name, why }) => ({
              ...{ level: "note", message: { text: `${name}: ${why}` } },
            })),
          },
        ],
        columnKind: "utf16CodeUnits",
        properties: { model, threshold: result.threshold, ...result.precision },
      },
    ],
  };
}

/** GitHub's words for a rule's precision, by the share of findings that are right. */
function wordFor(precision: number): string {
  return precision >= 0.9 ? "very-high" : precision >= 0.75 ? "high" : precision >= 0.5 ? "medium" : "low";
}
