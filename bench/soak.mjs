// Requests of all kinds, many at once, in several rounds in one server: what of them is lost, crossed or left behind. See serving.mjs.
import { request } from "node:http";
import { basename } from "node:path";
import { startServer, words } from "./server.mjs";

const atOnce = 200;
/** Seconds without a request after a round. */
const idle = 2;

/** @returns rows of a table: what, what was measured, what was asked for */
export async function soak(file, { threads, requests, rounds }) {
  const server = await startServer(file, threads, ["--at-once", "16", "--waiting", "256"]);
  const ask = createAsker(server, basename(file, ".gguf"));
  const counts = { whole: 0, left: 0, refused: 0, slow: 0, lost: 0, crossed: 0 };
  /** Of each kind of request what it was answered: the same at any time. */
  const answers = new Map();
  const memory = [];
  const [loop, blocks] = [{ wall: 0, own: 0, over: 0 }, []];
  await server.stream("completions", { prompt: "warm", max_tokens: 2 });

  async function one(round, i) {
    const kind = kindOf(i, round);
    try {
      const text = await ask(kind, i);
      if (["malformed", "broken", "oversized"].includes(kind)) throw new Error(`${kind} was answered`);
      // Who means to leave may be answered before.
      counts[kind === "left" ? "whole" : kind]++;
      const before = answers.get(i);
      if (before !== undefined && before !== text) counts.crossed++;
      answers.set(i, text);
    } catch (error) {
      const isLeft = error.name === "TimeoutError" || error.name === "AbortError";
      const expected = { malformed: 400, broken: 400, oversized: 413 }[kind];
      if (kind === "left" && isLeft) counts.left++;
      else if (expected !== undefined && (error.status === expected || error.cause?.code === "EPIPE")) counts.refused++;
      else {
        counts.lost++;
        console.error(kind, error);
      }
    }
  }

  for (let round = 0; round < rounds; round++) {
    let next = 0;
    const worker = async () => {
      for (let i = next++; i < requests; i = next++) await one(round, i);
    };
    server.watch();
    await Promise.all(Array.from({ length: atOnce }, worker));
    const { over50, ...seen } = await server.watched();
    for (const name of ["wall", "own"]) loop[name] = Math.max(loop[name], seen[name]);
    loop.over += seen.over;
    blocks.push(...over50);
    await new Promise((resolve) => setTimeout(resolve, idle * 1000));
    memory.push((await server.watched()).memory);
    console.error(`round ${round + 1}:`, JSON.stringify(counts), JSON.stringify(memory.at(-1)), JSON.stringify(seen));
  }
  const used = await server.pagesUsed();
  await server.end();
  for (const block of blocks) console.error("block", JSON.stringify(block));
  const { whole, left, refused, slow, lost, crossed } = counts;
  const megabytes = (of) => memory.map((one) => (one[of] / 1e6).toFixed(0)).join(", ");
  return [
    [
      `${rounds} times ${requests} requests, ${atOnce} at once`,
      `${whole + slow} answered, ${slow} of them read slowly, ${left} left, ${refused} malformed or too large ones refused, ${lost} lost, ${crossed} crossed`,
      "none lost or crossed",
    ],
    ["pages held after them", String(used), "0"],
    ["memory after each round, MB", megabytes("rss"), "level"],
    ["of it JavaScript's objects, MB", megabytes("heapUsed"), "level"],
    [
      "longest turn of the event loop: its own processor time, and with waiting for a processor",
      `${loop.own.toFixed(0)} ms, ${loop.wall.toFixed(0)} ms`,
      "≤ 50 ms",
    ],
  ];
}

/** The kind of a request; who leaves in one round stays in the next. */
function kindOf(i, round) {
  if (i % 97 === 0) return "malformed";
  if (i % 89 === 0) return "broken";
  if (i % 83 === 0) return "oversized";
  if (i % 101 === 0) return "slow";
  return (i + round) % 3 === 0 ? "left" : "whole";
}

/** @returns what asks the `i`th request, and resolves with its answer */
function createAsker(server, model) {
  const textOf = async (response) => {
    const { choices, content, output, message } = await response.json();
    if (choices !== undefined) return choices[0].text ?? choices[0].message.content;
    return content?.[0].text ?? output?.[0]?.content[0].text ?? message?.content ?? "";
  };
  return async (kind, i) => {
    if (kind === "malformed") return await server.post("v1/completions", { prompt: 7, max_tokens: {} });
    if (kind === "oversized") return await server.post("v1/completions", { prompt: "x".repeat(5 * 2 ** 20) });
    const text = words(3 + (i % 40), i % 50);
    if (kind === "broken") return await server.postText("v1/chat/completions", `{"messages": [{"role": "${text}`);
    const sampling = { temperature: 1, seed: i };
    const length = 1 + (i % 60);
    if (kind === "slow") return await readSlowly(server.url, { prompt: text, ...sampling, max_tokens: 200, n: 4 });
    const signal = kind === "left" ? AbortSignal.timeout(5 + ((i * 37) % 400)) : undefined;
    const messages = [{ role: "user", content: text }];
    const some = { logprobs: true, top_logprobs: 5 };
    switch (i % 8) {
      case 0:
        return await textOf(
          await server.post("v1/chat/completions", { messages, ...sampling, max_tokens: length, ...some }, signal),
        );
      case 1:
        return await textOf(
          await server.post("v1/messages", { model, messages, max_tokens: length, top_k: 1 }, signal),
        );
      case 2:
        return await textOf(
          await server.post("v1/responses", { input: text, ...sampling, max_output_tokens: length }, signal),
        );
      case 3: {
        const options = { temperature: 1, seed: i, num_predict: length };
        return await textOf(await server.post("api/chat", { model, messages, options, stream: false }, signal));
      }
      case 4:
        return (await server.stream("chat/completions", { messages, ...sampling, max_tokens: length }, signal)).text;
      default:
        return (await server.stream("completions", { prompt: text, ...sampling, max_tokens: length }, signal)).text;
    }
  };
}

/** Much is written for who takes a little of it now and then. */
function readSlowly(url, body) {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    const asked = request(`${url}/v1/completions`, { method: "POST", headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("error", reject);
      response.on("end", () => resolve(textsIn(text)));
      response.on("data", (piece) => {
        text += piece;
        response.pause();
        setTimeout(() => response.resume(), 50);
      });
    });
    asked.on("error", reject);
    asked.end(JSON.stringify({ ...body, logprobs: 20, stream: true }));
  });
}

/** What the choices of a stream said. */
function textsIn(stream) {
  const texts = [];
  for (const line of stream.split("\n")) {
    if (!line.startsWith("data: {")) continue;
    for (const { index, text } of JSON.parse(line.slice(6)).choices) texts[index] = (texts[index] ?? "") + text;
  }
  return texts.join("\n");
}
