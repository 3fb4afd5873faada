#!/usr/bin/env python3
"""Writes test/vectors/hugging-face/grok-2.tok.json: a small vocabulary in the format of Grok-2's tokenizer.tok.json, and, beside it, the ids
that tiktoken gives some texts with it, set up as sgl-project/sglang does (tiktoken_tokenizer.py).

usage: pip install tiktoken && python make_tok_json_vectors.py OUT_FOLDER
"""
import json
import sys
from collections import Counter
from pathlib import Path

import regex
import tiktoken

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEXTS = ["the sun and the moon, the sea", "It's 1234 o'clock; they'LL say", "  señor café\n\n\tüber", "🦊 ran to the stone", "the<|separator|>the",
         "aaaaaaa", "rain\r\n\r\nfell"]
special = ["<|pad|>", "<|separator|>", "<|eos|>"]
tokens = [bytes([b]) for b in range(256)]
words = Counter(word for text in TEXTS * 2 for word in regex.findall(PATTERN, text))
pieces = {word: [bytes([b]) for b in word.encode()] for word in words}
while len(tokens) < 256 + 23:
    pairs = Counter()
    for word, parts in pieces.items():
        for pair in zip(parts, parts[1:]):
            pairs[pair] += words[word]
    (a, b), _ = min(pairs.items(), key=lambda item: (-item[1], item[0]))
    tokens.append(a + b)
    for word, parts in pieces.items():
        i = 0
        while i + 1 < len(parts):
            if parts[i] == a and parts[i + 1] == b:
                parts[i:i + 2] = [a + b]
            i += 1
first = len(special)
content = {
    "regular_tokens": [{"bytes": list(token), "token": first + i} for i, token in enumerate(tokens)],
    "special_tokens": [{"bytes": list(name.encode()), "token": i} for i, name in enumerate(special)],
    "vocab_size": 288, "word_split": "V1",
}
encoding = tiktoken.Encoding(
    name="small", pat_str=PATTERN, mergeable_ranks={token: first + i for i, token in enumerate(tokens)},
    special_tokens={name: i for i, name in enumerate(special)})
out = Path(sys.argv[1])
(out / "grok-2.tok.json").write_text(json.dumps(content, separators=(",", ":")))
ids = [[text, encoding.encode(text, allowed_special="all")] for text in TEXTS]
(out / "grok-2.tok.expected.json").write_text(json.dumps(ids, ensure_ascii=False))
