#!/usr/bin/env python3
"""Writes test/vectors/hugging-face/embeddings.json: of models there and some texts' tokens, the mean over the tokens of what transformers
calls the last hidden state (after the last norm), scaled to length 1, in float32.

usage: pip install torch transformers && python make_embedding_vectors.py FOLDER
"""
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModel

folder = Path(sys.argv[1])
TEXTS = [[7], [1, 30, 2, 88, 5, 6, 19, 200], [(i * 37 + 11) % 300 for i in range(40)]]
found = {}
for name in ["llama-3", "mixtral"]:
    model = AutoModel.from_pretrained(folder / name, dtype=torch.float32).eval()
    vectors = []
    with torch.no_grad():
        for tokens in TEXTS:
            mean = model(torch.tensor([tokens])).last_hidden_state[0].mean(0)
            vectors.append([round(float(x), 7) for x in mean / mean.norm()])
    found[name] = vectors
(folder / "embeddings.json").write_text(json.dumps({"texts": TEXTS, "vectors": found}))
