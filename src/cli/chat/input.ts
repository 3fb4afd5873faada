import { createInterface, type Interface, type Key } from "node:readline";
import { Writable } from "node:stream";
import type { WriteStream } from "node:tty";
import { readStreamLines } from "../../bytes/text-file.ts";
import { interruptedStatus } from "../exit.ts";
import { standardInput } from "../files.ts";
import { isRich } from "../terminal.ts";
import { createAssembler } from "./assembler.ts";

/** What a person (or a pipe) says next. */
export type Turn =
  | { readonly kind: "text"; readonly text: string }
  /** Ctrl-D, or the end of the pipe. */
  | { readonly kind: "end" }
  /** Ctrl-C at an empty prompt. */
  | { readonly kind: "interrupt" };

export interface ChatInput {
  /** Whether a person sits at it. */
  readonly interactive: boolean;
  /** Waits for the next turn; shows the prompt meanwhile. */
  read(): Promise<Turn>;
  /** Called for Ctrl-C while nobody reads, that is while an answer streams. */
  onInterrupt(listener: () => void): void;
  /** Lines typed so far, latest first, for the next time. */
  history(): readonly string[];
  close(): void;
}

/** What Node's editor has beside its types: its history, and the parts of it that Node's own REPL uses as well. */
interface EditorInside extends Interface {
  readonly history: string[];
  prevRows: number;
  _ttyWrite(text: string | undefined, key: Key): void;
  _insertString(text: string): void;
}

/** Node 24 ends lines at Unicode's separators of lines and paragraphs. They are characters of a text: only Enter ends a line. */
function keepSeparators(editor: EditorInside): void {
  const write = editor._ttyWrite.bind(editor);
  editor._ttyWrite = (text, key) => {
    if (text !== undefined && /^[\u2028\u2029]$/.test(text)) editor._insertString(text);
    else write(text, key);
  };
}

const prompt = "> ";
const promptMore = "... ";

/** Each line of the pipe is a turn, put together by the same rules as typed lines. */
export function openPipeInput(input: AsyncIterable<Uint8Array>): ChatInput {
  const assembler = createAssembler();
  const lines = readStreamLines(input, standardInput);
  let interrupted: () => void = () => process.exit(interruptedStatus);
  const onSignal = () => interrupted();
  process.on("SIGINT", onSignal);
  return {
    interactive: false,
    async read() {
      for (;;) {
        const { value, done } = await lines.next();
        const turn = done ? assembler.take() : assembler.add(value);
        if (turn !== undefined) return { kind: "text", text: turn };
        if (done) return { kind: "end" };
      }
    },
    onInterrupt(listener) {
      interrupted = listener;
    },
    history: () => [],
    close() {
      process.off("SIGINT", onSignal);
      void lines.return(undefined);
    },
  };
}

/**
 * Line editing and history at a terminal. The terminal stays in raw mode while an answer streams: what is typed then is
 * not echoed into the answer but appears at the next prompt, and Ctrl-C reaches this program alone (in cooked mode it
 * would end a parent such as npm as well).
 */
export function openTerminalInput(output: WriteStream, history: readonly string[], historySize: number): ChatInput {
  const rich = isRich(output, process.env);
  const assembler = createAssembler();
  let reading = false;
  let pasting = false;
  let closed = false;
  let deliver: ((turn: Turn) => void) | undefined;
  let interrupted = () => {};
  const waiting: string[] = [];

  // 0: a terminal that was never told its size.
  const screen = () => ({ columns: output.columns || 80, rows: output.rows || 24 });
  const gate = Object.assign(
    new Writable({
      decodeStrings: false,
      write(chunk, encoding, done) {
        if (reading) output.write(chunk, encoding);
        done();
      },
    }),
    { isTTY: true, ...screen() },
  );
  const onResize = () => {
    Object.assign(gate, screen());
    // Where the window became narrower, the terminal has broken the line anew: the editor is told on how many rows.
    editor.prevRows = editor.getCursorPos().rows;
    gate.emit("resize");
  };
  output.on("resize", onResize);

  const editor = createInterface({
    input: process.stdin,
    output: gate,
    terminal: true,
    history: [...history],
    historySize,
    removeHistoryDuplicates: true,
  }) as EditorInside;
  keepSeparators(editor);
  // Bracketed paste: the terminal says where pasted text begins and ends, so its line breaks do not send it.
  if (rich) output.write("\u001b[?2004h");
  const restore = () => {
    if (rich) output.write("\u001b[?2004l");
  };
  process.on("exit", restore);
  // Asked to end from outside: as at once as without this, but the terminal is put right.
  const onTerminate = () => process.exit(143);
  process.on("SIGTERM", onTerminate);

  const show = () => {
    editor.setPrompt(assembler.pending ? promptMore : prompt);
    editor.prompt(true);
  };
  const give = (turn: Turn) => {
    const to = deliver;
    deliver = undefined;
    reading = false;
    to?.(turn);
  };
  const takeNext = () => {
    if (!deliver) return;
    while (waiting.length > 0) {
      // Lines that arrived in one piece belong together: a paste at a terminal that does not mark pastes.
      const line = waiting.shift()!;
      const turn = assembler.add(line, waiting.length > 0);
      if (turn !== undefined) return give({ kind: "text", text: turn });
    }
    if (closed) return give({ kind: "end" });
    show();
  };

  editor.on("line", (line) => {
    if (pasting) {
      assembler.add(line, true);
      if (deliver) show();
      return;
    }
    waiting.push(line);
    if (waiting.length === 1) setImmediate(takeNext);
  });
  editor.on("close", () => {
    closed = true;
    if (deliver) output.write("\n");
    setImmediate(takeNext);
  });
  editor.on("SIGINT", () => {
    if (!deliver) return interrupted();
    output.write("^C\n");
    const empty = editor.line === "" && !assembler.pending;
    assembler.take();
    if (empty) return give({ kind: "interrupt" });
    // Ctrl-U and Ctrl-K: the editor has no other way to empty its line.
    editor.write(null, { ctrl: true, name: "u" });
    editor.write(null, { ctrl: true, name: "k" });
    show();
  });
  const onKey = (_: unknown, key: { name?: string } | undefined) => {
    if (key?.name === "paste-start") pasting = true;
    if (key?.name === "paste-end") pasting = false;
  };
  process.stdin.on("keypress", onKey);
  const onSignal = () => {
    if (deliver) give({ kind: "interrupt" });
    else interrupted();
  };
  process.on("SIGINT", onSignal);

  return {
    interactive: true,
    read() {
      return new Promise((resolve) => {
        deliver = resolve;
        reading = true;
        if (closed || waiting.length > 0) takeNext();
        else show();
      });
    },
    onInterrupt(listener) {
      interrupted = listener;
    },
    history: () => editor.history,
    close() {
      closed = true;
      process.off("SIGINT", onSignal);
      process.stdin.off("keypress", onKey);
      output.off("resize", onResize);
      process.off("exit", restore);
      process.off("SIGTERM", onTerminate);
      restore();
      editor.close();
    },
  };
}
