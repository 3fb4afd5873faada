// What each masking of a sentence's 12 tokens is worth to the default model: log p of the likeliest next token, 2^12 float32 numbers, bit i
// of an index being whether token i is as it is. node test/oracles/make_worths.mjs test/vectors/explain/worths.f32
import { writeFileSync } from "node:fs";
import { explain, loadModel } from "../../dist/index.js";

const text = "Había una vez un niño que vivía en una casa grande con su perro y";
const model = await loadModel("models/grok1-stories-q8_0.gguf");
const ids = [...model.encode(text)];
const fixed = ids[0] === model.tokenizer.bos ? 1 : 0;
const tokens = ids.slice(0, 12 + fixed);
const { target, shapley } = await explain(model, model.tokenizer.decode(Int32Array.from(tokens.slice(fixed))), {
  pairs: 64,
});
const worths = new Float32Array(2 ** 12);
for (let start = 0; start < worths.length; start += 1024) {
  const texts = Array.from({ length: 1024 }, (_, i) => {
    const masked = tokens.map((token, at) =>
      at < fixed || ((start + i) >> (at - fixed)) & 1 ? token : shapley.baseline.id,
    );
    return { tokens: [...masked, target.id], from: tokens.length };
  });
  worths.set(
    (await model.score(texts)).map(([logprob]) => logprob),
    start,
  );
}
writeFileSync(process.argv[2], new Uint8Array(worths.buffer));
await model.close();
