import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";

/**
 * The headers in native/ declare what the addon does; src/addon-backend.ts says it again for TypeScript. All arguments are numbers, so
 * no compiler sees two that are swapped: their names and order are compared here, of declaration, definition and interface.
 */
const native = join(import.meta.dirname, "../../native");
const sources = new Map(
  readdirSync(native)
    .filter((name) => /\.(h|cpp)$/.test(name))
    .map((name) => [name, readFileSync(join(native, name), "utf8")]),
);

interface Argument {
  readonly name: string;
  readonly type: string;
}

const types: Readonly<Record<string, string>> = {
  int32_t: "number",
  int64_t: "number",
  double: "number",
  bool: "boolean",
  void: "void",
};

/** `int32_t out, bool add` as names and TypeScript's types. */
function argumentsOf(list: string): Argument[] {
  return list
    .replace(/\s+/g, " ")
    .split(",")
    .filter((each) => each.trim() !== "")
    .map((each) => {
      const [, type, name] = /^(.*?) ?(\w+)(?: = .*)?$/.exec(each.trim())!;
      return { name: name!, type: types[type!] ?? type! };
    });
}

interface Method {
  readonly name: string;
  readonly result: string;
  readonly arguments: readonly Argument[];
}

/** Methods of the table that the addon makes JavaScript functions of, as their class declares them. */
function declaredMethods(files: ReadonlyMap<string, string>): { methods: Method[]; swapped: string[] } {
  const methods: Method[] = [];
  const swapped: string[] = [];
  for (const [, name, owner, member] of [...files.values()]
    .join("\n")
    .matchAll(/\{"(\w+)", Method<&(\w+)::(\w+)>::call\}/g)) {
    const header = [...files].find(([file, text]) => file.endsWith(".h") && text.includes(`class ${owner}`))![1];
    const declaration = new RegExp(`\\b(void|double|int32_t) ${member}\\(([^)]*)\\)`).exec(header);
    if (declaration === null) throw new Error(`${owner}::${member} is not declared`);
    const declared = argumentsOf(declaration[2]!);
    methods.push({ name: name!, result: types[declaration[1]!]!, arguments: declared });
    const definition = [...files.values()]
      .map((text) => new RegExp(`\\b${owner}::${member}\\(([^)]*)\\)(?: const)? \\{`).exec(text))
      .find((found) => found !== null);
    // A definition may call an argument otherwise, but not by the name of another.
    argumentsOf(definition?.[1] ?? "").forEach(({ name: argument }, i) => {
      const at = declared.findIndex((each) => each.name === argument);
      if (at >= 0 && at !== i) swapped.push(`${owner}::${member}: ${argument}`);
    });
  }
  return { methods, swapped };
}

/** Functions with their arguments read by hand: named in the comment before, `// weight(type, rows, …)`. */
function writtenFunctions(
  files: ReadonlyMap<string, string>,
  file: string,
): { name: string; arguments: string[]; read: number }[] {
  return [...files.get(file)!.matchAll(/\/\/ (\w+)\(([^)]*)\)[^\n]*\nnapi_value (\w+)\([\s\S]*?Arguments<(\d+)>/g)].map(
    ([, name, list, , count]) => ({
      name: name!,
      arguments: list!.split(",").map((each) => each.split(":")[0]!.trim()),
      read: Number(count),
    }),
  );
}

/** The methods of an interface, and of those that it extends. Arguments that several share stand in tuples. */
function interfaceMethods(text: string, name: string): Map<string, Method> {
  const file = ts.createSourceFile("addon.ts", text, ts.ScriptTarget.Latest);
  const declared = <T extends ts.Statement>(name: string, is: (each: ts.Statement) => each is T): T =>
    file.statements.filter(is).find((each) => (each as unknown as { name: ts.Identifier }).name.text === name)!;
  const elements = (type: ts.TypeNode): Argument[] => {
    if (ts.isTypeReferenceNode(type)) return elements(declared(type.getText(file), ts.isTypeAliasDeclaration).type);
    return (type as ts.TupleTypeNode).elements.flatMap((each) =>
      ts.isNamedTupleMember(each)
        ? [{ name: each.name.getText(file), type: each.type.getText(file) }]
        : elements((each as ts.RestTypeNode).type),
    );
  };
  const methods = new Map<string, Method>();
  const collect = (found: ts.InterfaceDeclaration): void => {
    for (const { types: parents } of found.heritageClauses ?? []) {
      for (const parent of parents) collect(declared(parent.getText(file), ts.isInterfaceDeclaration));
    }
    for (const member of found.members) {
      if (!ts.isMethodSignature(member)) continue;
      const method = member.name.getText(file);
      methods.set(method, {
        name: method,
        result: member.type!.getText(file),
        arguments: member.parameters.flatMap((each) =>
          each.dotDotDotToken
            ? elements(each.type!)
            : [{ name: each.name.getText(file), type: each.type!.getText(file) }],
        ),
      });
    }
  };
  collect(declared(name, ts.isInterfaceDeclaration));
  return methods;
}

const addon = ["addon.ts", "addon-backend.ts"]
  .map((name) => readFileSync(join(native, "../src", name), "utf8"))
  .join("\n");

/** What is wrong between the two sides. */
function differences(files: ReadonlyMap<string, string>, text: string): string[] {
  const { methods, swapped } = declaredMethods(files);
  const written = writtenFunctions(files, "addon-backend.cpp");
  const known = interfaceMethods(text, "AddonBackend");
  const encoder = writtenFunctions(files, "addon-encoder.cpp");
  const wrong = swapped.map((each) => `${each} stands elsewhere in the definition`);
  for (const method of methods) {
    const [here, there] = [method, known.get(method.name)].map((each) => JSON.stringify(each));
    if (here !== there) wrong.push(`${here} in native/, ${there} in src/addon-backend.ts`);
  }
  for (const { name, arguments: names, read } of [...written, ...encoder]) {
    const method = known.get(name) ?? interfaceMethods(text, "AddonEncoder").get(name);
    if (method === undefined) continue;
    const there = method.arguments.map((each) => each.name);
    if (names.join() !== there.join() || names.length !== read)
      wrong.push(`${name}(${names}) in native/, ${name}(${there})`);
  }
  const both = new Set([...methods, ...written].map(({ name }) => name));
  for (const name of known.keys()) if (!both.has(name) && name !== "close") wrong.push(`${name} is not in native/`);
  return wrong;
}

describe("the native boundary", () => {
  it("is the same on both sides", () => {
    expect(differences(sources, addon)).toEqual([]);
    expect(declaredMethods(sources).methods.length).toBeGreaterThan(40);
  });

  it("would show a swapped argument on either side, and one that is missing", () => {
    const changed = (file: string, from: string, to: string) => {
      const text = sources.get(file)!;
      expect(text).toContain(from);
      return differences(new Map([...sources, [file, text.replace(from, to)]]), addon);
    };
    const header = [...sources.keys()].find((name) => sources.get(name)!.includes("void embed(int32_t out"))!;
    const code = [...sources.keys()].find((name) => /::embed\(int32_t out/.test(sources.get(name)!))!;
    expect(
      changed(header, "void embed(int32_t out, int32_t table", "void embed(int32_t table, int32_t out"),
    ).not.toEqual([]);
    expect(changed(code, "::embed(int32_t out, int32_t table", "::embed(int32_t table, int32_t out")).not.toEqual([]);
    expect(changed("addon-backend.cpp", "ggmlType, rows, cols", "ggmlType, cols, rows")).not.toEqual([]);
    expect(changed("addon-encoder.cpp", "to, rows, cols", "to, cols, rows")).not.toEqual([]);
    const swapped = addon.replace("embed(out: number, table: number", "embed(table: number, out: number");
    expect(differences(sources, swapped)).not.toEqual([]);
    const shared = addon.replace(
      "type Mixture = [gate: number, up: number",
      "type Mixture = [up: number, gate: number",
    );
    expect(differences(sources, shared)).toHaveLength(4);
    expect(differences(sources, addon.replace("  rope(out", "  rope2(out"))).not.toEqual([]);
  });
});
