// Pairs for `grok1 finetune` of a task's examples, as the task asks of them. docs/security.md has the commands that follow, and what came of them.
//
// usage: node train/security.mjs TASK[,TASK] DATA OUT.jsonl [records]
// Of several tasks, the same questions in other languages, each record is asked by one, in turn. DATA is the folder of `grok1 eval --data`.
import { writeFileSync } from "node:fs";
import { GrokError } from "../dist/errors.js";
import { readQuestions } from "../dist/tasks/questions.js";
import { openTask } from "../dist/tasks/task.js";
import { createChoice } from "./default-model/conversations.mjs";

/**
 * How records are drawn. first: the share of those whose answer is the first choice. Among those with an answer as many are taken of a kind as
 * the square root of how many there are says, so that rare ones are seen too. Without a recipe each record is taken once.
 */
const recipes = {
  nsl_kdd_words: { records: 20000, first: 0.3, kindOf: ({ label }) => label },
  bgl_logs: { records: 1000, first: 0.5, kindOf: ({ EventId }) => EventId },
};

const [names, data, out, records] = process.argv.slice(2);
if (out === undefined || !/^[1-9]\d*$/.test(records ?? "1")) {
  end("usage: node train/security.mjs TASK[,TASK] DATA OUT.jsonl [records]", 2);
}
const tasks = names.split(",").map(examplesOf);
const [questions] = tasks;
const { one, below } = createChoice(1);
const recipe = recipes[names.split(",")[0].replace(/_es$/, "")];
const count = Number(records ?? recipe?.records ?? questions.length);
const drawn = shuffle(recipe === undefined ? questions : draw(recipe)).slice(0, count);
const pairs = drawn.map(({ index }, at) => {
  const { pairs: choices, answer } = tasks[at % tasks.length][index];
  const { context: prompt, continuation } = choices[answer[0]];
  return JSON.stringify({ prompt, answer: continuation });
});
try {
  writeFileSync(out, `${pairs.join("\n")}\n`);
} catch (error) {
  end(`${out}: cannot write: ${error.message}`, 1);
}
console.log(`${pairs.length} records in ${out}`);

/** A task's answered questions that are not its test. */
function examplesOf(name) {
  try {
    const task = openTask(name);
    const { data: examples, lines } = task.examples ?? {};
    if (examples === undefined) end(`${name}: the task names no examples to train on`, 2);
    return readQuestions({ ...task, data: examples, format: { ...task.format, lines } }, data, 0).list;
  } catch (error) {
    if (!(error instanceof GrokError)) throw error;
    return end(error.message, error.code === "argument" ? 2 : 1);
  }
}

function end(message, status) {
  console.error(message);
  process.exit(status);
}

function draw({ first, kindOf }) {
  const kinds = new Map();
  for (const question of questions) {
    const kind = kindOf(question.row.fields);
    if (!kinds.has(kind)) kinds.set(kind, []);
    kinds.get(kind).push(question);
  }
  const weights = [0, 0];
  for (const some of kinds.values()) weights[some[0].answer[0]] += Math.sqrt(some.length);
  return [...kinds.values()].flatMap((some) => {
    const [answer] = some[0].answer;
    const wanted = Math.max(
      1,
      Math.round((count * [first, 1 - first][answer] * Math.sqrt(some.length)) / weights[answer]),
    );
    // Of a kind with fewer than that some are taken several times.
    return wanted <= some.length ? shuffle(some).slice(0, wanted) : Array.from({ length: wanted }, () => one(some));
  });
}

function shuffle(items) {
  const all = [...items];
  for (let i = all.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [all[i], all[j]] = [all[j], all[i]];
  }
  return all;
}
