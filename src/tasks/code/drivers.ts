/**
 * What runs a program inside its process. Each reads {source, token} from its standard input, runs the source, and only when that came to its
 * end writes the token: a program that ends its process before the tests are through has not passed them.
 */

/** As in code_eval of human-eval (Chen et al. 2021), for the same verdicts: calls that a solution has no use for fail. It is no protection. */
const pythonDriver = `
import builtins, json, os, shutil, subprocess, sys
task = json.load(sys.stdin)
write, leave = os.write, os._exit
for name in """kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate replace unlink fchmod
fchown chmod chown chroot lchflags lchmod lchown getcwd chdir""".split():
    setattr(os, name, None)
for name in ("rmtree", "move", "chown"):
    setattr(shutil, name, None)
subprocess.Popen = None
builtins.exit = builtins.quit = builtins.help = None
for name in ("ipdb", "joblib", "resource", "psutil", "tkinter"):
    sys.modules[name] = None
try:
    exec(compile(task["source"], "solution.py", "exec"), {})
    sys.stdout.flush()
except BaseException as error:
    write(2, ("%s: %s" % (type(error).__name__, error))[:400].encode("utf-8", "replace"))
    leave(1)
write(1, task["token"].encode())
leave(0)
`;

const typescriptDriver = `
const { readFileSync, writeSync } = require("node:fs");
const { source, token, compiler } = JSON.parse(readFileSync(0, "utf8"));
const ts = require(compiler);
const compilerOptions = { target: "es2022", module: "commonjs" };
const { outputText, diagnostics } = ts.transpileModule(source, { compilerOptions, reportDiagnostics: true });
if (diagnostics.length > 0) throw new SyntaxError(ts.flattenDiagnosticMessageText(diagnostics[0].messageText, " "));
const refuse = (what) => () => { throw new Error(what + " is not for solutions"); };
for (const name of ["kill", "exit", "reallyExit", "abort", "dlopen"]) process[name] = refuse("process." + name);
const closed = /^(node:)?(child_process|cluster|worker_threads|net|dgram|tls|https?|http2|inspector|vm)(\\/|$)/;
const open = (name) => (closed.test(name) ? refuse(name)() : require(name));
new Function("require", "module", "exports", outputText)(open, { exports: {} }, {});
process.once("beforeExit", () => writeSync(1, token));
`;

export type Language = "python" | "typescript";

export const drivers: Readonly<Record<Language, string>> = { python: pythonDriver, typescript: typescriptDriver };
