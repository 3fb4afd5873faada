// Writes test/vectors/json-schema/tests.json from a checkout of JSON-Schema-Test-Suite: node make_json_schema_vectors.mjs PATH
//
// Left out are files about other documents, about keywords that depend on what others have looked at, and formats.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const folder = join(process.argv[2], "tests", "draft2020-12");
const leftOut = /^(refRemote|dynamicRef|vocabulary|unevaluated|format|content|default)/;
const groups = readdirSync(folder)
  .filter((name) => name.endsWith(".json") && !leftOut.test(name))
  .sort()
  .flatMap((name) =>
    JSON.parse(readFileSync(join(folder, name), "utf8")).map(({ description, schema, tests }) => {
      const { $schema: _, ...rest } = typeof schema === "object" ? schema : {};
      const of = (valid) => tests.filter((test) => test.valid === valid).map(({ data }) => data);
      return {
        name: `${name.slice(0, -5)}: ${description}`,
        schema: typeof schema === "object" ? rest : schema,
        valid: of(true),
        invalid: of(false),
      };
    }),
  );
const target = resolve(import.meta.dirname, "../vectors/json-schema/tests.json");
writeFileSync(target, `[\n${groups.map((group) => JSON.stringify(group)).join(",\n")}\n]\n`);
