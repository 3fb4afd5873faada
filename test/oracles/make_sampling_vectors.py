"""Writes ../vectors/sampling/: what Hugging Face's logits processors keep, and with which probabilities.

    pip install transformers torch numpy
    python make_sampling_vectors.py

truncation.json  each case: logits (integers, to be divided by 1024), tokens seen, options in grok1's names, and the tokens left
                 with their probabilities, in float64. Processors run in the order bias, penalties, top-k, typical, top-p,
                 min-p, temperature. Frequency and presence penalties follow OpenAI's definition, written out here.
beams.json       a table of next-token logits by last token, and what generate() finds with beam search on it, length penalty 0
"""
import json
from pathlib import Path

import numpy as np
import torch
from transformers import (
    MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper,
    TypicalLogitsWarper,
)

here = Path(__file__).resolve().parent.parent / "vectors" / "sampling"
rng = np.random.default_rng(7)


def run(logits, seen, options):
    scores = torch.tensor(logits, dtype=torch.float64)[None] / 1024
    ids = torch.tensor([seen], dtype=torch.long)
    for token, bias in options.get("logitBias", {}).items():
        scores[0, int(token)] += bias
    if (penalty := options.get("repetitionPenalty", 1)) != 1 and seen:
        scores = RepetitionPenaltyLogitsProcessor(penalty)(ids, scores)
    for token in set(seen):
        scores[0, token] -= seen.count(token) * options.get("frequencyPenalty", 0) + options.get("presencePenalty", 0)
    if k := options["topK"]:
        scores = TopKLogitsWarper(k)(ids, scores)
    if (p := options["typicalP"]) < 1:
        scores = TypicalLogitsWarper(p)(ids, scores)
    if (p := options["topP"]) < 1:
        scores = TopPLogitsWarper(p)(ids, scores)
    if p := options["minP"]:
        scores = MinPLogitsWarper(p)(ids, scores)
    scores = TemperatureLogitsWarper(float(options["temperature"]))(ids, scores)
    probabilities = torch.softmax(scores, -1)[0].numpy()
    tokens = np.flatnonzero(np.isfinite(scores[0].numpy()))
    return {"tokens": tokens.tolist(), "probabilities": [float(f"{probabilities[t]:.12g}") for t in tokens]}


def cases():
    grid = [
        {"topK": 40}, {"topK": 5}, {"topP": 0.9}, {"topP": 0.5}, {"topP": 0.999}, {"minP": 0.05}, {"minP": 0.5}, {"typicalP": 0.9},
        {"typicalP": 0.2}, {"typicalP": 0.6, "topP": 0.8}, {"topK": 40, "topP": 0.95, "minP": 0.05, "temperature": 0.8},
        {"topK": 30, "typicalP": 0.7, "topP": 0.9, "minP": 0.1, "temperature": 1.7}, {"temperature": 0.25},
        {"repetitionPenalty": 1.3}, {"repetitionPenalty": 0.8, "topK": 20}, {"frequencyPenalty": 0.7, "presencePenalty": -0.4},
        {"repetitionPenalty": 1.1, "frequencyPenalty": -0.5, "presencePenalty": 1.5, "topP": 0.9},
        {"logitBias": {"3": 5.5, "9": -100.0}, "topK": 10},
    ]
    for n, given in enumerate(grid):
        vocab, spread = [(60, 2.0), (200, 1.0), (400, 4.0)][n % 3]
        logits = np.round(rng.standard_normal(vocab) * spread * 1024).astype(int)
        while len(set(logits.tolist())) < vocab:  # ties are left to each library
            logits = np.round(rng.standard_normal(vocab) * spread * 1024 + rng.random(vocab) * 8).astype(int)
        seen = rng.integers(0, vocab, 12).tolist() + rng.integers(0, 5, 6).tolist()
        options = {"temperature": 1, "topK": 0, "topP": 1, "minP": 0, "typicalP": 1, **given}
        yield {"logits": logits.tolist(), "seen": seen, "options": options, **run(logits, seen, options)}


def beams():
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.modeling_outputs import CausalLMOutputWithCrossAttentions

    vocab, end = 12, 0
    found = []
    for seed in range(6):
        table = np.round(np.random.default_rng(seed).standard_normal((vocab, vocab)) * 2 * 1024).astype(int)

        class Table(GPT2LMHeadModel):
            def forward(self, input_ids=None, **_):
                logits = torch.tensor(table / 1024, dtype=torch.float32)[input_ids]
                return CausalLMOutputWithCrossAttentions(logits=logits)

        model = Table(GPT2Config(vocab_size=vocab, n_embd=4, n_layer=1, n_head=1, n_positions=64))
        for early in (True, False):
            out = model.generate(
                torch.tensor([[5]]), num_beams=3, num_return_sequences=3, max_new_tokens=8, early_stopping=early, do_sample=False,
                length_penalty=0.0, eos_token_id=end, bos_token_id=5, pad_token_id=11, use_cache=False, output_scores=True,
                return_dict_in_generate=True, attention_mask=torch.ones(1, 1, dtype=torch.long),
            )
            sequences = []
            for row, score in zip(out.sequences[:, 1:].tolist(), out.sequences_scores.tolist()):
                if end in row:
                    row = row[: row.index(end) + 1]
                sequences.append({"tokens": row, "logprob": round(score, 5)})
            found.append({"table": table.tolist(), "first": 5, "end": end, "earlyStopping": early, "maxTokens": 8, "beams": 3, "sequences": sequences})
    return found


if __name__ == "__main__":
    here.mkdir(parents=True, exist_ok=True)
    (here / "truncation.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases()) + "\n]\n")
    (here / "beams.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in beams()) + "\n]\n")
