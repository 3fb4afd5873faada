import type { Fields } from "../bytes/json-fields.ts";
import { areTexts } from "./entries.ts";
import type { Estimate } from "./jackknife.ts";
import { comparePaired, type PairedFigure, type Scored } from "./paired.ts";
import type { PartFigures } from "./prepared.ts";
import type { BaseRecord } from "./records.ts";
import { type Figure, poolErrors } from "./scores.ts";

/** What a task consists of: names that stand for `{{part}}` in its files, or groups of such names. */
export type Parts = readonly string[] | Readonly<Record<string, readonly string[]>>;

/** The entry `parts`; undefined where there is none. @throws GrokError `argument` */
export function readParts(fields: Fields): Parts | undefined {
  const isGroups = (value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every(areTexts);
  const accepts = (value: unknown) => areTexts(value) || isGroups(value);
  const parts = fields.value("parts", "a list of names, or several by groups", accepts, null) as Parts | undefined;
  const names = namesOf(parts ?? []);
  return new Set(names).size < names.length ? fields.fail("parts", "a name is there twice") : parts;
}

/** Names of a task's parts; of one without, undefined alone. */
export function partsOf({ parts }: { readonly parts: Parts | undefined }): readonly (string | undefined)[] {
  return parts === undefined ? [undefined] : namesOf(parts);
}

export function fileOf(file: string, part: string | undefined): string {
  return part === undefined ? file : file.replaceAll("{{part}}", part);
}

function namesOf(parts: Parts): readonly string[] {
  return isList(parts) ? parts : Object.values(parts).flat();
}

function isList(parts: Parts): parts is readonly string[] {
  return Array.isArray(parts);
}

/**
 * A task's figures, and those of its parts and groups of parts: over all their questions, with errors as lm-evaluation-harness pools
 * them.
 */
export function summarizeParts<R extends BaseRecord, M extends string>(
  parts: Parts | undefined,
  metrics: readonly M[],
  records: readonly R[],
  summarize: (metric: M, records: readonly R[]) => Figure,
): { readonly metrics: Readonly<Record<string, Figure>>; readonly parts?: Readonly<Record<string, PartFigures>> } {
  const figures = (some: readonly R[]) =>
    Object.fromEntries(metrics.map((metric) => [metric, summarize(metric, some)]));
  if (parts === undefined) return { metrics: figures(records) };
  const of = (part: string) => records.filter((record) => record.part === part);
  const single = (part: string): PartFigures => ({ questions: of(part).length, metrics: figures(of(part)) });
  const together = (names: readonly string[]): PartFigures => {
    const some = names.map(single);
    const all = Object.entries(figures(names.flatMap(of))).map(([metric, { value }]): [string, Figure] => [
      metric,
      {
        value,
        error: poolErrors(some.map((part) => ({ questions: part.questions, error: part.metrics[metric]!.error }))),
      },
    ]);
    return {
      questions: some.reduce((sum, { questions }) => sum + questions, 0),
      metrics: Object.fromEntries(all),
    };
  };
  const each = (names: readonly string[]) => names.map((name): [string, PartFigures] => [name, single(name)]);
  const below = isList(parts)
    ? each(parts)
    : Object.entries(parts).flatMap(([group, names]) => [
        [group, { ...together(names), members: names }] as const,
        ...each(names),
      ]);
  return { metrics: together(namesOf(parts)).metrics, parts: Object.fromEntries(below) };
}

type Paired = Readonly<Record<string, PairedFigure>>;

/**
 * A task's metrics beside another run's, and those of its parts and groups of parts that both have questions of. Errors are over questions,
 * not pooled.
 */
export function compareParts<R extends Scored, M extends string>(
  parts: Parts | undefined,
  metrics: readonly M[],
  own: readonly R[],
  others: ReadonlyMap<number, R>,
  estimate: (metric: M, records: readonly R[]) => Estimate,
): { readonly paired: Paired; readonly pairedParts?: Readonly<Record<string, Paired>> } {
  const paired = comparePaired(metrics, own, others, estimate);
  if (parts === undefined) return { paired };
  const below = namedOf(parts).flatMap(([name, members]) => {
    const some = own.filter(({ part, question }) => members.includes(part!) && others.has(question));
    return some.length === 0 ? [] : [[name, comparePaired(metrics, some, others, estimate)] as const];
  });
  return { paired, pairedParts: Object.fromEntries(below) };
}

/** Each part, and in front of its parts each group, with the parts that it has. */
function namedOf(parts: Parts): readonly (readonly [name: string, members: readonly string[]])[] {
  const each = (names: readonly string[]) => names.map((name) => [name, [name]] as const);
  return isList(parts)
    ? each(parts)
    : Object.entries(parts).flatMap(([group, names]) => [[group, names] as const, ...each(names)]);
}
