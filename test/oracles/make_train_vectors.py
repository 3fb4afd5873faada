#!/usr/bin/env python3
"""Writes test/vectors/train: gradients of the models in test/vectors/models, and AdamW steps, by PyTorch in float64.

A plain implementation of each architecture, differentiated by autograd. The loss is a weighted cross-entropy over a ragged
batch plus, in every layer with experts, BALANCE times the load-balancing loss and Z times the router z-loss. Of each gradient
are kept: its norm, its product with cos(0, 1, 2, ...), and a few of its elements.

usage: pip install torch numpy gguf && python make_train_vectors.py MODELS_FOLDER OUT_FOLDER
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from gguf import GGUFReader
from gguf.quants import dequantize

models, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
torch.set_default_dtype(torch.float64)
BALANCE, Z = 0.02, 0.01
COUNTS = [9, 1, 14]
KEPT = 12


class File:
    def __init__(self, name):
        reader = GGUFReader(models / f"{name}.gguf")
        self.fields = {k: f.contents() for k, f in reader.fields.items() if not k.startswith("tokenizer.")}
        self.arch = self.fields["general.architecture"]
        self.w = {}
        for t in reader.tensors:
            shape = [int(n) for n in reversed(t.shape)]
            values = torch.tensor(np.array(dequantize(t.data, t.tensor_type), np.float64).reshape(shape))
            self.w[t.name] = values.requires_grad_(t.name != "rope_freqs.weight")

    def get(self, key, default=None):
        return self.fields.get(f"{self.arch}.{key}", default)


def norm(x, gain, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * gain


def cap(x, limit):
    return torch.tanh(x / limit) * limit if limit else x


def rotate(x, positions, frequencies, adjacent):
    """x [n, heads, size] as complex numbers, each turned by position * frequency."""
    half = x.shape[-1] // 2
    a, b = (x[..., 0::2], x[..., 1::2]) if adjacent else (x[..., :half], x[..., half:])
    turn = torch.polar(torch.ones(len(positions), half), positions[:, None] * frequencies)[:, None]
    z = torch.complex(a, b) * turn
    return torch.stack([z.real, z.imag], -1).flatten(-2) if adjacent else torch.cat([z.real, z.imag], -1)


def attend(q, k, v, positions, scale, limit, temperature):
    """Causal attention of one sequence; q [n, heads, size], k and v [n, kv, size]."""
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v))
    scores = cap(torch.einsum("ihd,jhd->hij", q, k) * scale, limit)
    if temperature:
        late = positions > temperature
        factor = torch.where(late, torch.log2(positions.clamp(min=1.0)) / np.log2(temperature), torch.ones(()))
        scores = scores * factor[None, :, None]
    future = torch.triu(torch.ones(len(positions), len(positions), dtype=torch.bool), 1)
    return torch.einsum("hij,jhd->ihd", scores.masked_fill(future, -torch.inf).softmax(-1), v)


def experts(x, logits, used, renormalise, act, gate, up, down):
    """Every expert on every row, weighed by what the router gives it: nothing for those that were not chosen."""
    p = logits.softmax(-1)
    count = p.shape[-1]
    top, chosen = p.topk(used, -1)
    mask = F.one_hot(chosen, count).sum(1).to(p.dtype)
    weights = p * mask
    if renormalise:
        weights = weights / weights.sum(-1, keepdim=True)
    inner = act(torch.einsum("nw,ehw->neh", x, gate)) * torch.einsum("nw,ehw->neh", x, up)
    y = torch.einsum("ne,neh,ewh->nw", weights, inner, down)
    share = mask.mean(0).detach() / used
    return y, count * (share * p.mean(0)).sum(), torch.logsumexp(logits, -1).pow(2).mean()


def forward(f, tokens, counts, outputs):
    w, get = f.w, f.get
    grok = f.arch == "grok"
    second = grok and "blk.0.ffn_up.weight" in w
    heads, kv = get("attention.head_count"), get("attention.head_count_kv")
    width = get("embedding_length")
    size = get("attention.key_length", width // heads)
    eps = get("attention.layer_norm_rms_epsilon")
    frequencies = get("rope.freq_base") ** (-torch.arange(0, size, 2) / size)
    if "rope_freqs.weight" in w:
        frequencies = frequencies / w["rope_freqs.weight"]
    scale = get("attention.output_scale", 128**-0.5) if grok else size**-0.5
    positions = torch.cat([torch.arange(c) for c in counts]).to(torch.float64)
    act = (lambda t: F.gelu(t, approximate="tanh")) if grok else F.silu
    extra = torch.zeros(())
    parts = [0.0, 0.0]
    h = w["token_embd.weight"][tokens] * (get("embedding_scale", 78.38367176906169) if grok else 1)
    for layer in range(get("block_count")):
        at = lambda name: w[f"blk.{layer}.{name}.weight"]
        x = norm(h, at("attn_norm"), eps)
        q = rotate((x @ at("attn_q").T).view(-1, heads, size), positions, frequencies, not grok)
        k = rotate((x @ at("attn_k").T).view(-1, kv, size), positions, frequencies, not grok)
        v = (x @ at("attn_v").T).view(-1, kv, size)
        mixed = [attend(*(t.split(counts)[s] for t in (q, k, v, positions)), scale,
                        get("attn_logit_softcapping", 30.0) if grok else 0, get("attention.temperature_length", 0))
                 for s in range(len(counts))]
        y = torch.cat(mixed).flatten(1)
        if layer == get("block_count") - 1:
            y, h = y[outputs], h[outputs]
        y = y @ at("attn_output").T
        h = h + (norm(y, at("attn_output_norm"), eps) if grok else y)
        x = norm(h, at("ffn_norm"), eps)
        if get("expert_count", 0):
            logits = cap(x @ at("ffn_gate_inp").T, get("router_logit_softcapping") if second else 0)
            stacks = (at("ffn_gate_exps"), at("ffn_up_exps"), at("ffn_down_exps"))
            y, balance, z = experts(x, logits, get("expert_used_count"), not grok, act, *stacks)
            extra = extra + BALANCE * balance + Z * z
            parts = [parts[0] + balance.item() / get("block_count"), parts[1] + z.item() / get("block_count")]
        if not get("expert_count", 0) or second:
            dense = (act(x @ at("ffn_gate").T) * (x @ at("ffn_up").T)) @ at("ffn_down").T
            y = (y + dense) / 2**0.5 if second else dense
        if grok:
            y = norm(y, at("post_ffw_norm" if second else "layer_output_norm"), eps)
        h = h + y
    x = norm(h, w["output_norm.weight"], eps)
    logits = x @ w.get("output.weight", w["token_embd.weight"]).T
    if grok:
        logits = cap(logits * get("logit_scale", 3**-0.5), get("final_logit_softcapping", 0))
    return logits, extra, parts


def make_model(name, seed, outputs):
    f = File(name)
    rng = np.random.default_rng(seed)
    n = sum(COUNTS)
    tokens = torch.tensor(rng.integers(4, 288, n))
    targets = torch.tensor(rng.integers(4, 288, len(outputs)))
    weights = torch.tensor(rng.random(len(outputs)) / len(outputs))
    weights[2] = 0
    logits, extra, (balance, z) = forward(f, tokens, COUNTS, outputs)
    loss = (F.cross_entropy(logits, targets, reduction="none") * weights).sum()
    (loss + extra).backward()
    gradients = {}
    for tensor, values in f.w.items():
        if not values.requires_grad:
            continue
        g = values.grad.flatten()
        places = [int(i) for i in sorted(rng.choice(len(g), KEPT, replace=False))]
        gradients[tensor] = {
            "norm": g.norm().item(),
            "product": (g * torch.arange(len(g)).to(g.dtype).cos()).sum().item(),
            "places": places,
            "values": g[places].tolist(),
        }
    return {"model": name, "counts": COUNTS, "tokens": tokens.tolist(), "outputs": outputs, "targets": targets.tolist(),
            "weights": weights.tolist(), "balance": BALANCE, "zLoss": Z, "loss": loss.item(), "balanceLoss": balance,
            "zLossValue": z, "gradients": gradients}


def make_adamw():
    generator = torch.Generator().manual_seed(5)
    start = torch.randn(2, 3, generator=generator)
    options = dict(lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    p = start.clone().requires_grad_()
    optimizer = torch.optim.AdamW([p], **options)
    steps = []
    for _ in range(4):
        p.grad = torch.randn(2, 3, generator=generator)
        raw = p.grad.flatten().tolist()
        total = torch.nn.utils.clip_grad_norm_([p], 1.0).item()
        optimizer.step()
        steps.append({"gradient": raw, "norm": total, "values": p.detach().flatten().tolist()})
    return {"rate": 0.01, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "decay": 0.1, "clip": 1.0,
            "start": start.flatten().tolist(), "steps": steps}


every = list(range(sum(COUNTS)))
for name, seed, outputs in [("grok-1", 11, every), ("grok-2", 12, [0, 5, 8, 9, 13, 20, 23]), ("llama", 13, every),
                            ("mixtral", 14, [3, 4, 9, 22])]:
    (out / f"{name}.json").write_text(json.dumps(make_model(name, seed, outputs)) + "\n")
(out / "adamw.json").write_text(json.dumps(make_adamw()) + "\n")
