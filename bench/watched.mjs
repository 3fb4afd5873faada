// Loaded before a server (`node --import`), says over its channel how its event loop and its memory are: whoever started it asks with
// "reset" and "report".
import { readFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

/** So often the event loop is looked at, milliseconds. */
const tick = 5;

if (isMainThread && process.send !== undefined) {
  let [last, before] = [performance.now(), readSchedule()];
  let worst = nothing();
  setInterval(() => {
    const [now, at] = [performance.now(), readSchedule()];
    const blocked = now - last - tick;
    worst.wall = Math.max(worst.wall, blocked);
    // Of the time in which nobody else had a turn, what this thread computed, and what it waited for a processor.
    worst.own = Math.max(worst.own, Math.min(at.ran - before.ran, now - last));
    if (blocked > 50) {
      worst.over++;
      worst.over50.push({ wall: blocked, own: at.ran - before.ran, waited: at.waited - before.waited });
    }
    [last, before] = [now, at];
  }, tick).unref();
  process.on("message", (what) => {
    if (what === "reset") worst = nothing();
    else {
      for (let i = 0; i < 3; i++) globalThis.gc?.();
      process.send({ ...worst, memory: process.memoryUsage() });
    }
  });
  process.channel.unref();
}

function nothing() {
  return { wall: 0, own: 0, over: 0, over50: [] };
}

/** Milliseconds that this thread has run, and has waited for a processor; Linux alone says. */
function readSchedule() {
  if (process.platform !== "linux") return { ran: Number.NaN, waited: Number.NaN };
  const [ran, waited] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, "latin1").split(" ");
  return { ran: Number(ran) / 1e6, waited: Number(waited) / 1e6 };
}
