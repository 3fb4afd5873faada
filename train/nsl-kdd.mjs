// Pairs of NSL-KDD for `grok1 finetune`, as the task nsl_kdd_words asks of them: 20,000 records of KDDTrain+_20Percent.txt, three of ten
// normal and the attacks by the square root of how many there are of their kind, so that rare ones are seen too.
//
// usage: node train/nsl-kdd.mjs DATA OUT.jsonl [records]
// DATA is the folder of `grok1 eval --data`. docs/security.md has the commands that follow, and what came of them.
import { writeFileSync } from "node:fs";
import { readQuestions } from "../dist/tasks/questions.js";
import { openTask } from "../dist/tasks/task.js";
import { createChoice } from "./default-model/conversations.mjs";

const [data, out, records = "20000"] = process.argv.slice(2);
if (out === undefined) {
  console.error("usage: node train/nsl-kdd.mjs DATA OUT.jsonl [records]");
  process.exit(2);
}
const count = Number(records);
const normalShare = 0.3;

const task = openTask("nsl_kdd_words");
const { list } = readQuestions({ ...task, data: task.examples.data }, data, 0);
const kinds = new Map();
for (const question of list) {
  const { label } = question.row.fields;
  if (!kinds.has(label)) kinds.set(label, []);
  kinds.get(label).push(question);
}
const attacks = [...kinds].filter(([kind]) => kind !== "normal");
const weights = attacks.reduce((total, [, some]) => total + Math.sqrt(some.length), 0);
const { one, below } = createChoice(1);
function shuffle(items) {
  const all = [...items];
  for (let i = all.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [all[i], all[j]] = [all[j], all[i]];
  }
  return all;
}
const chosen = [...kinds].flatMap(([kind, some]) => {
  const share = kind === "normal" ? normalShare : ((1 - normalShare) * Math.sqrt(some.length)) / weights;
  const wanted = Math.max(1, Math.round(count * share));
  // Of a kind with fewer than that some are taken several times.
  return wanted <= some.length ? shuffle(some).slice(0, wanted) : Array.from({ length: wanted }, () => one(some));
});
const pairs = shuffle(chosen)
  .slice(0, count)
  .map(({ pairs: choices, answer: [right] }) => {
    const { context: prompt, continuation: answer } = choices[right];
    return JSON.stringify({ prompt, answer });
  });
writeFileSync(out, `${pairs.join("\n")}\n`);
console.log(`${pairs.length} records in ${out}`);
