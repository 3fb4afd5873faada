import { createFields } from "../../bytes/json-fields.ts";
import { nearestName } from "../../options.ts";
import { strip } from "../python/text.ts";
import { failRow, type Row } from "../template.ts";
import { type Check, checks } from "./checks.ts";

/** Of each instruction, whether an answer follows it: as it is (`strict`), and after what models like to add is left out (`loose`). */
export interface Followed {
  readonly strict: readonly boolean[];
  readonly loose: readonly boolean[];
}

/** The checks of a question's instructions: its `instruction_id_list` and `kwargs`. @throws GrokError `format` naming the file and the line. */
export function readInstructions(row: Row): readonly Check[] {
  const { instruction_id_list: names, kwargs: details } = row.fields;
  if (!Array.isArray(names) || names.length === 0) return failRow(row, "instruction_id_list: expected a list of names");
  if (!Array.isArray(details) || details.length !== names.length) {
    return failRow(row, `kwargs: expected a list of ${names.length} objects, one for each instruction`);
  }
  return names.map((name: unknown, i) => {
    const read = typeof name === "string" && Object.hasOwn(checks, name) ? checks[name] : undefined;
    if (read === undefined) {
      const known = Object.keys(checks);
      const message = `expected one of IFEval's instructions, such as ${nearestName(`${name}`, known)}`;
      return failRow(row, `instruction_id_list: ${message}`);
    }
    const fields = createFields(given(details[i]), `${row.path}: line ${row.line}`, `kwargs[${i}]`, "format");
    const check = read(fields);
    fields.finish();
    return check;
  });
}

/** Without entries that say nothing: the table of all entries that some forms of the data have is mostly empty. */
function given(details: unknown): unknown {
  if (typeof details !== "object" || details === null || Array.isArray(details)) return details;
  return Object.fromEntries(Object.entries(details).filter(([, value]) => value !== null && value !== undefined));
}

/** lm-evaluation-harness's `test_instruction_following_strict` and `_loose`. An empty answer follows nothing. */
export function followInstructions(instructions: readonly Check[], answer: string): Followed {
  const lines = answer.split("\n");
  const shorter = [lines.slice(1), lines.slice(0, -1), lines.slice(1, -1)].map((some) => strip(some.join("\n")));
  const plain = [answer, ...shorter];
  const variants = new Set([...plain, ...plain.map((text) => text.replaceAll("*", ""))]);
  const follows = (check: Check, text: string) => strip(text) !== "" && check(text);
  const strict = instructions.map((check) => follows(check, answer));
  variants.delete(answer);
  const loose = instructions.map((check, i) => strict[i]! || [...variants].some((text) => follows(check, text)));
  return { strict, loose };
}
