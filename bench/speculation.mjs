// What prompt look-up speculation gains where a text repeats its prompt, and what it costs where it cannot help.
//
// usage: node bench/speculation.mjs --model model.gguf [--threads 2] [--repeats 5] [--tokens 160] [--temperatures 0,0.6] [--texts edit,story]
//
// Runs with and without speculation alternate, and the ratio of each pair is taken: what else the machine does meets both alike. For
// either way the text must be the same, token for token; the script fails where it is not.
import { loadModel } from "../dist/index.js";
import { readOptions, required } from "./options.mjs";

const options = readOptions(import.meta.url, {
  model: required,
  threads: 2,
  repeats: 5,
  tokens: 160,
  temperatures: "0,0.6",
  texts: "edit,story",
});
const { threads, repeats, tokens: maxTokens } = options;

const body = `
  const text = readFileSync(path, "utf8");
  const config = new Map();
  for (const line of text.split("\\n")) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const at = trimmed.indexOf("=");
    if (at < 0) throw new Error("expected key=value: " + trimmed);
    config.set(trimmed.slice(0, at).trim(), trimmed.slice(at + 1).trim());
  }
  return config;
}`;
const names = ["readConfig", "readSettings", "readLimits", "readUsers", "readHosts", "readRoutes", "readColours"];
const functionOf = (name) => `function ${name}(path) {${body}\n\n`;
const same = "// The same function, but called loadConfig:\n\nfunction loadConfig(path) {\n  const text =";

const model = await loadModel(options.model, { threads, contextLength: 2048 });
const prompts = {
  edit: model.encode(functionOf("readConfig") + same),
  // The same over a past of more than 700 tokens.
  long: model.encode(names.map(functionOf).join("") + same),
  story: model.encodeChat([{ role: "user", content: "Write a long story about a cat who sails across the ocean." }]),
};

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const percent = (part, whole) => (whole === 0 ? "" : `${Math.round((100 * part) / whole)} %`);

console.log("| text | prompt tokens | temperature | off, tokens/s | on, tokens/s | speed-up | drafted | right |");
console.log("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
for (const text of options.texts.split(",")) {
  if (!Object.hasOwn(prompts, text)) {
    console.error(`--texts: there is no ${text}, expected some of ${Object.keys(prompts).join(", ")}`);
    process.exit(2);
  }
  for (const temperature of options.temperatures.split(",").map(Number)) {
    const [offs, ons, ratios] = [[], [], []];
    let last;
    for (let run = 0; run <= repeats; run++) {
      const generate = (speculate) =>
        model.generate(prompts[text], { temperature, maxTokens, speculate, seed: 5 + run, ignoreEnd: true }).result;
      // Who goes first changes.
      const first = await generate(run % 2 === 0);
      const second = await generate(run % 2 === 1);
      const [on, off] = run % 2 === 0 ? [first, second] : [second, first];
      if (on.tokens.join() !== off.tokens.join()) {
        console.error(`${text} at temperature ${temperature}, seed ${5 + run}: speculation changed the text`);
        process.exitCode = 1;
      }
      // The first pair warms up.
      if (run === 0) continue;
      last = on;
      offs.push(off.timings.decodeTokensPerSecond);
      ons.push(on.timings.decodeTokensPerSecond);
      ratios.push(ons.at(-1) / offs.at(-1));
    }
    const { draftedTokens, acceptedTokens } = last.usage;
    const row = [text, prompts[text].length, temperature, median(offs).toFixed(1), median(ons).toFixed(1)];
    console.log(
      `| ${[...row, median(ratios).toFixed(3), draftedTokens, percent(acceptedTokens, draftedTokens)].join(" | ")} |`,
    );
  }
}
await model.close();
