"""The model of bench/training.mjs in plain eager PyTorch, float32 on the processor: what training of it would be without grok1.

Grok-1's layers: RMS norms before and after attention and experts, rotary embedding over halves, soft-capped scores, the top
2 of 8 experts with GELU; tied embeddings, AdamW, clipping. Prints one JSON line.
usage: python training_torch.py '{"threads": 2, "steps": 3, ...}'
"""

import json
import math
import sys
import time

import torch
import torch.nn.functional as F

o = json.loads(sys.argv[1])
torch.set_num_threads(o["threads"])
torch.manual_seed(1)
width, layers, heads, kv_heads, size = o["width"], o["layers"], o["heads"], o["kvHeads"], o["headSize"]
experts, used, hidden, vocab, count, length = o["experts"], o["used"], o["hidden"], o["vocab"], o["sequences"], o["length"]


def parameter(*shape):
    return torch.nn.Parameter(torch.randn(*shape) * shape[-1] ** -0.5)


def gain():
    return torch.nn.Parameter(torch.ones(width))


embedding = parameter(vocab, width)
blocks = [
    {
        "norms": [gain() for _ in range(4)],
        "q": parameter(heads * size, width),
        "k": parameter(kv_heads * size, width),
        "v": parameter(kv_heads * size, width),
        "o": parameter(width, heads * size),
        "router": parameter(experts, width),
        "gate": parameter(experts, hidden, width),
        "up": parameter(experts, hidden, width),
        "down": parameter(experts, width, hidden),
    }
    for _ in range(layers)
]
last = gain()
parameters = [embedding, last]
for block in blocks:
    parameters += block["norms"] + [block[name] for name in ("q", "k", "v", "o", "router", "gate", "up", "down")]
optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)

angles = torch.arange(length)[:, None] * 10000 ** (-torch.arange(0, size, 2) / size)[None]
cos, sin = angles.cos()[None, None], angles.sin()[None, None]
mask = torch.full((length, length), -math.inf).triu(1)


def norm(x, weight):
    return F.rms_norm(x, (width,), weight, 1e-5)


def turn(x):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


def attend(x, block):
    split = lambda y, n: y.view(count, length, n, size).transpose(1, 2)
    q = turn(split(x @ block["q"].T, heads))
    k = turn(split(x @ block["k"].T, kv_heads)).repeat_interleave(heads // kv_heads, 1)
    v = split(x @ block["v"].T, kv_heads).repeat_interleave(heads // kv_heads, 1)
    scores = 30 * torch.tanh(q @ k.transpose(-1, -2) * (size**-0.5 / 30))
    return (torch.softmax(scores + mask, -1) @ v).transpose(1, 2).reshape(-1, heads * size) @ block["o"].T


def mix(x, block):
    weights, chosen = torch.softmax(x @ block["router"].T, -1).topk(used, -1)
    out = torch.zeros_like(x)
    for e in range(experts):
        rows, place = torch.where(chosen == e)
        y = x[rows]
        inner = F.gelu(y @ block["gate"][e].T, approximate="tanh") * (y @ block["up"][e].T)
        out = out.index_add(0, rows, weights[rows, place, None] * (inner @ block["down"][e].T))
    return out


def step(tokens, targets):
    h = embedding[tokens] * width**0.5
    for block in blocks:
        n1, n2, n3, n4 = block["norms"]
        h = h + norm(attend(norm(h, n1), block), n2)
        h = h + norm(mix(norm(h, n3), block), n4)
    loss = F.cross_entropy(norm(h, last) @ embedding.T, targets)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    return loss.item()


seconds, busy, losses = [], [], []
for i in range(o["steps"] + 1):
    data = torch.randint(0, vocab, (count * length + 1,))
    started, used_before = time.perf_counter(), time.process_time()
    losses.append(step(data[:-1], data[1:]))
    if i > 0:  # the first warms up
        seconds.append(time.perf_counter() - started)
        busy.append(time.process_time() - used_before)
median = lambda values: sorted(values)[len(values) // 2]
print(json.dumps({"version": torch.__version__, "seconds": median(seconds), "busy": median(busy), "losses": losses}))
