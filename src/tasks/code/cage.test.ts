import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { GenerationTask } from "../generation/task.ts";
import { openTask } from "../task.ts";
import { type CodeRunner, createCodeRunner } from "./cage.ts";
import type { Language } from "./drivers.ts";

/** Why there is no runner here, for tests that are skipped. */
async function tryRunner(language: Language): Promise<{ readonly run?: CodeRunner; readonly why: string }> {
  try {
    return { run: await createCodeRunner([language], { unsafe: false }), why: "" };
  } catch (error) {
    return { why: ` (${(error as Error).message})` };
  }
}

const python = await tryRunner("python");
const typescript = await tryRunner("typescript");
const folder = mkdtempSync(join(tmpdir(), "grok1-cage-"));
const victim = join(folder, "victim");
writeFileSync(victim, "still here");
const reached: string[] = [];
const server = createServer((socket) => {
  reached.push(String(socket.remotePort));
  socket.destroy();
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as { port: number };
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await new Promise((resolve) => server.close(resolve));
});

/** Processes of this machine whose command has a word of a test's. */
const running = (word: string) =>
  readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && existsSync(`/proc/${name}/cmdline`) && commandOf(name).includes(word);
    } catch {
      return false;
    }
  });
const commandOf = (pid: string) => process.getBuiltinModule("node:fs").readFileSync(`/proc/${pid}/cmdline`, "latin1");

describe(`python in a cage${python.why}`, () => {
  const run = (source: string, seconds = 10) => python.run!({ language: "python", source, seconds });
  /** Around the calls that fail for every solution: what somebody does who means it. */
  const raw = "import ctypes, posix\nlibc = ctypes.CDLL(None)\n";

  it.skipIf(python.run === undefined)("tells right from wrong", async () => {
    const outcomes = await Promise.all([
      run("def f(x): return x + 1\nassert f(1) == 2"),
      run("def f(x): return x\nassert f(1) == 2, 'no'"),
      run("def f(:"),
      run("raise SystemExit(0)"),
      run("import sys; sys.exit(0)"),
      run("import os; os._exit(0)"),
      run("print('x' * 1000)"),
      run("import os; os.kill(os.getppid(), 9)"),
      run("open('note', 'w').write('x'); assert open('note').read() == 'x'"),
      run("def f(n): return f(n + 1)\nf(0)"),
    ]);
    expect(outcomes.map(({ passed }) => passed)).toEqual([
      true,
      false,
      false,
      false,
      false,
      false,
      true,
      false,
      true,
      false,
    ]);
    expect(outcomes[1]).toEqual({ passed: false, ended: "error", message: "AssertionError: no" });
    expect(outcomes[2]!.message).toMatch(/^SyntaxError/);
  });

  it.skipIf(python.run === undefined)("has code_eval's verdicts on answers to HumanEval", async () => {
    type Vector = readonly [task: string, fields: Readonly<Record<string, string>>, answer: string, passed: number];
    const path = join(import.meta.dirname, "../../../test/vectors/eval/generation/programs.json");
    const vectors = JSON.parse(readFileSync(path, "utf8")) as readonly Vector[];
    const verdicts = vectors.map(async ([name, fields, answer]) => {
      const { filters, scoring } = openTask(name) as GenerationTask;
      const taken = new Map([...filters].map(([way, filter]) => [way, [filter(answer)]]));
      const { scores } = await scoring.score({ path: "", line: 1, fields }, taken, python.run!);
      return scores["pass@1"];
    });
    expect(await Promise.all(verdicts)).toEqual(vectors.map(([, , , passed]) => passed));
  });

  const hostile: readonly (readonly [what: string, source: string, ended: RegExp, seconds?: number])[] = [
    ["forks without end", "import posix\nwhile True: posix.fork()", /error|processes|time/, 4],
    [
      "forks and forks again whatever is refused",
      "import posix\nwhile True:\n  try: posix.fork()\n  except OSError: pass",
      /error|processes|time/,
      3,
    ],
    ["reads /etc/passwd", "print(open('/etc/passwd').read())", /error/],
    ["reads a file of the user's", `print(open(${JSON.stringify(victim)}).read())`, /error/],
    [
      "reads what the machine's processes were given",
      "import glob\nassert not [1 for p in glob.glob('/proc/[0-9]*/environ') if b'PATH' not in open(p, 'rb').read()[:9] and len(open(p, 'rb').read()) > 200]\n1 / 0",
      /error/,
    ],
    ["speaks to this machine", `import socket\nsocket.create_connection(('127.0.0.1', ${port}), 2)`, /error/],
    ["speaks to the world", "import socket\nsocket.create_connection(('1.1.1.1', 53), 2)", /error/],
    ["takes 10 GB", "x = bytearray(10 ** 10)", /error|memory/],
    ["takes 10 GB piece by piece", "x = []\nwhile True: x.append(bytearray(10 ** 7))", /error|memory/],
    [
      "takes 10 GB that it shares",
      "import mmap\nx = []\nfor i in range(1000):\n  m = mmap.mmap(-1, 10 ** 7); m.write(b'x' * 10 ** 7); x.append(m)",
      /error|memory/,
    ],
    [
      "takes 10 GB in many processes",
      "import posix, time\nfor i in range(40):\n  if posix.fork() == 0:\n    x = bytearray(250 * 10 ** 6)\n    time.sleep(60)\ntime.sleep(60)",
      /memory|processes|error/,
    ],
    ["never ends", "while True: pass", /time/, 1],
    ["sleeps", "import time; time.sleep(100)", /time/, 1],
    ["kills its parent", `${raw}libc.kill(posix.getppid(), 9)\n1 / 0`, /error/],
    ["kills all that it can", `${raw}libc.kill(-1, 9)\n1 / 0`, /error/],
    ["writes outside", `open(${JSON.stringify(join(folder, "new"))}, 'w')`, /error/],
    ["writes into /usr", "open('/usr/bin/new', 'w')", /error/],
    ["writes into /dev", "open('/dev/shm/new', 'w')", /error/],
    ["fills the disk", "i = 0\nwhile True:\n  i += 1\n  open(f'f{i}', 'wb').write(b'x' * 10 ** 7)", /error/],
    ["writes one large file", "f = open('f', 'wb')\nwhile True: f.write(b'x' * 10 ** 6)", /error/],
    ["prints without end", "while True: print('x' * 10000)", /output/],
    ["complains without end", "import sys\nwhile True: print('x' * 10000, file=sys.stderr)", /output/],
    [
      "goes on as a daemon",
      "import posix, time\nif posix.fork() == 0:\n  posix.setsid()\n  if posix.fork() == 0:\n    posix.execv('/usr/bin/sleep', ['grok1-daemon', '100'])\n  posix._exit(0)\ntime.sleep(0.5)\n1 / 0",
      /error/,
    ],
    [
      "leaves zombies",
      "import posix\nfor i in range(500):\n  try:\n    if posix.fork() == 0: posix._exit(0)\n  except OSError: break\n1 / 0",
      /error|processes/,
    ],
    [
      "deletes files",
      `${raw}libc.unlink(${JSON.stringify(victim)}.encode())\nlibc.system(b'rm -rf /tmp/* /usr/bin/python3 /home /root /etc 2>/dev/null')\n1 / 0`,
      /error/,
    ],
    [
      "makes a namespace of its own to become root",
      `${raw}assert libc.unshare(0x10000000) == 0 and libc.mount(b'none', b'/usr', b'tmpfs', 0, 0) == 0`,
      /error/,
    ],
    ["ends before it is tested", `${raw}libc._exit(0)`, /error/],
  ];
  it
    .skipIf(python.run === undefined)
    .each(hostile.map(([what, source, ended, seconds]) => ({ what, source, ended, seconds })))(
    "what $what has failed, and nothing is left of it",
    async ({ source, ended, seconds }) => {
      const outcome = await run(source, seconds);
      // What ends so has come to its end: whatever it tried before did it no good.
      if (source.endsWith("\n1 / 0") && outcome.ended === "error")
        expect(outcome.message).toMatch(/^ZeroDivisionError/);
      expect(outcome).toMatchObject({ passed: false, ended: expect.stringMatching(ended) });
      expect(existsSync(victim)).toBe(true);
      expect(readdirSync(folder)).toEqual(["victim"]);
      expect(reached).toEqual([]);
      expect(running("grok1-daemon")).toEqual([]);
      expect(existsSync("/usr/bin/new")).toBe(false);
    },
  );

  it.skipIf(python.run === undefined)("ends when it is cancelled", async () => {
    const controller = new AbortController();
    const one = python.run!({ language: "python", source: "while True: pass", seconds: 60 }, controller.signal);
    setTimeout(() => controller.abort(), 200);
    await expect(one).rejects.toMatchObject({ code: "cancelled" });
  });
});

describe(`TypeScript in a cage${typescript.why}`, () => {
  const run = (source: string, seconds = 20) => typescript.run!({ language: "typescript", source, seconds });
  const test = "\ndeclare var require: any;\nconst assert = require('node:assert');\n";

  it.skipIf(typescript.run === undefined)("tells right from wrong", async () => {
    const outcomes = await Promise.all([
      run(`function f(x: number): number { return x + 1; }${test}assert.deepEqual(f(1), 2);`),
      run(`function f(x: number): number { return x; }${test}assert.deepEqual(f(1), 2);`),
      run("function f(x: {"),
      run("process.exit(0)"),
      run("Promise.reject(new Error('late'))"),
    ]);
    expect(outcomes.map(({ passed }) => passed)).toEqual([true, false, false, false, false]);
  });

  it.skipIf(typescript.run === undefined).each([
    ["reads /etc/passwd", "require('fs').readFileSync('/etc/passwd')", /error/],
    ["takes 10 GB", "const x = []; for (;;) x.push(Buffer.alloc(1e8, 1));", /error|memory/],
    ["takes 10 GB of objects", "const x: any[] = []; for (;;) x.push(new Array(1e5).fill({}));", /error|memory|time/],
    ["never ends", "for (;;);", /time/],
    ["starts programs", "require('child_process').spawn('sleep', ['9'])", /error/],
    ["ends all at once", "process.kill(process.ppid, 9)", /error/],
    ["writes outside", `require('fs').writeFileSync(${JSON.stringify(join(folder, "new"))}, '')`, /error/],
    ["speaks to this machine", `import("node:net").then((net) => net.connect(${port}, "127.0.0.1"))`, /error/],
    ["prints without end", "for (;;) console.log('x'.repeat(10000));", /output|time|error|memory/],
  ] as const)("what %s has failed", async (_, source, ended) => {
    expect(await run(source, 8)).toMatchObject({ passed: false, ended: expect.stringMatching(ended) });
    expect(reached).toEqual([]);
    expect(readdirSync(folder)).toEqual(["victim"]);
  });
});

describe("without a cage", () => {
  it("runs when it is told to by name", async () => {
    const run = await createCodeRunner(["typescript"], { unsafe: true });
    const outcomes = await Promise.all(
      ["1 + 1;", "throw new Error('no')"].map((source) => run({ language: "typescript", source, seconds: 20 })),
    );
    expect(outcomes.map(({ passed }) => passed)).toEqual([true, false]);
  });
});
