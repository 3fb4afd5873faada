"""What two sets of logits are to each other: test/vectors/compare.json, in float64 by numpy, after the definitions of llama.cpp's
`perplexity --kl-divergence`.

    pip install numpy
    python make_compare_vectors.py

Logits are drawn from a generator that src/eval/compare.test.ts has too.
"""
import json
from pathlib import Path

import numpy as np

here = Path(__file__).resolve().parent.parent / "vectors"
ROWS, VOCAB = 64, 50


def generator(seed):
    state = seed
    while True:
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        yield state / 2**32


def log_softmax(x):
    m = x.max(axis=1, keepdims=True)
    return x - m - np.log(np.exp(x - m).sum(axis=1, keepdims=True))


def percentile(values, share):
    v = np.sort(values)
    at = share * (len(v) - 1)
    low = int(at)
    return (1 - (at - low)) * v[low] + (at - low) * v[min(low + 1, len(v) - 1)]


if __name__ == "__main__":
    uniform = generator(4711)
    draw = lambda: next(uniform)
    twelve = lambda: sum(draw() for _ in range(12)) - 6
    a = np.array([2 * twelve() for _ in range(ROWS * VOCAB)], dtype=np.float32).reshape(ROWS, VOCAB)
    noise = np.array([0.4 * twelve() for _ in range(ROWS * VOCAB)], dtype=np.float32).reshape(ROWS, VOCAB)
    b = (a + noise).astype(np.float32)
    tokens = np.array([int(draw() * VOCAB) for _ in range(ROWS)])
    p, q = log_softmax(a.astype(np.float64)), log_softmax(b.astype(np.float64))
    rows = np.arange(ROWS)
    kl = (np.exp(p) * (p - q)).sum(axis=1)
    moved = np.exp(q[rows, tokens]) - np.exp(p[rows, tokens])
    la, lb = -p[rows, tokens].mean(), -q[rows, tokens].mean()
    figures = {
        "perplexity": {"a": np.exp(la), "b": np.exp(lb), "ratio": np.exp(lb - la)},
        "divergence": {"mean": kl.mean(), "error": kl.std(ddof=1) / np.sqrt(ROWS), "median": percentile(kl, 0.5),
                       "q90": percentile(kl, 0.9), "q99": percentile(kl, 0.99), "q999": percentile(kl, 0.999), "max": kl.max()},
        "sameTop": float((p.argmax(1) == q.argmax(1)).mean()),
        "probability": {"rms": np.sqrt((moved**2).mean()), "mean": moved.mean()},
    }
    (here / "compare.json").write_text(json.dumps(figures, indent=1) + "\n")
