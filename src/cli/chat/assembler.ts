/**
 * Puts typed lines together into turns. A line that ends in a backslash goes on in the next one; three quotation marks
 * begin and end a block of lines; lines that were pasted belong together and are taken as they are.
 */
export interface Assembler {
  /** Takes a line; gives the whole turn when the line completes one. */
  add(line: string, pasted?: boolean): string | undefined;
  /** Whether lines wait for more. */
  readonly pending: boolean;
  /** Forgets the lines that wait and gives what they were, undefined when there were none. */
  take(): string | undefined;
}

const fence = '"""';

export function createAssembler(): Assembler {
  let lines: string[] = [];
  let inBlock = false;
  let waiting = false;

  const finish = (): string => {
    const turn = lines.join("\n");
    lines = [];
    inBlock = false;
    waiting = false;
    return turn;
  };

  return {
    get pending() {
      return waiting;
    },
    take() {
      return waiting ? finish() : undefined;
    },
    add(line, pasted = false) {
      if (pasted) {
        lines.push(line);
        waiting = true;
        return undefined;
      }
      if (inBlock) {
        if (!line.trimEnd().endsWith(fence)) {
          lines.push(line);
          return undefined;
        }
        const rest = line.trimEnd().slice(0, -fence.length);
        if (rest !== "") lines.push(rest);
        return finish();
      }
      if (!waiting && line.trimStart().startsWith(fence)) {
        const rest = line.trimStart().slice(fence.length);
        if (rest.trimEnd().endsWith(fence)) return rest.trimEnd().slice(0, -fence.length);
        if (rest !== "") lines.push(rest);
        inBlock = true;
        waiting = true;
        return undefined;
      }
      if (line.endsWith("\\")) {
        lines.push(line.slice(0, -1));
        waiting = true;
        return undefined;
      }
      lines.push(line);
      return finish();
    },
  };
}
