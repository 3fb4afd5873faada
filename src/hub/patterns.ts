/**
 * File patterns as Hugging Face's tools take them (Python's fnmatch): `*` any characters, "/" among them, `?` one, `[abc]`, `[!abc]`;
 * a pattern that ends in "/" means all below.
 */
export function matchesPattern(path: string, pattern: string): boolean {
  const whole = pattern.endsWith("/") ? `${pattern}*` : pattern;
  const source = whole.replace(
    /\[(!?)([^\]]+)\]|[\s\S]/g,
    (token, not: string | undefined, set: string | undefined) => {
      if (set !== undefined) return `[${not ? "^" : ""}${set.replace(/[\\\]^[]/g, "\\$&")}]`;
      if (token === "*") return "[\\s\\S]*";
      if (token === "?") return "[\\s\\S]";
      return token.replace(/[.+^${}()|[\]\\/]/, "\\$&");
    },
  );
  return new RegExp(`^${source}$`).test(path);
}

/** Whether a path is asked for: by one of `include`, or all where there is none, and by none of `exclude`. */
export function isWanted(path: string, include: readonly string[], exclude: readonly string[]): boolean {
  const by = (pattern: string) => matchesPattern(path, pattern);
  return (include.length === 0 || include.some(by)) && !exclude.some(by);
}
