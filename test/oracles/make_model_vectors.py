#!/usr/bin/env python3
"""Writes test/vectors/models: small models with random weights and the logits they must give.

  grok-1, grok-2   expected values from the float64 forward pass below, written from xAI's published Grok-1 code
                   (xai-org/grok-1) and from the serving code of Grok-2 (Grok1ForCausalLM in sgl-project/sglang)
  llama, mixtral   expected values from mlx-lm's implementations, in float32 on the processor
  rope.json        frequencies of scaled rotary embeddings, from mlx-lm

usage: pip install 'mlx[cpu]' mlx-lm gguf && python make_model_vectors.py OUT_FOLDER
"""
import json
import struct
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter
from gguf.quants import dequantize, quantize

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
VOCAB = 288
N = 24


def pieces():
    words = [" the", " a", "e", "t", " of", " and", "in", "er", "on", " to", "es", "an", "re", "or", " is", "ing"]
    words += ["th", "he", " in", "at", "nd", "ou", "it", " that", "ed", " he", " it", " was"]
    tokens = ["[PAD]", "<s>", "</s>", "<unk>"] + [f"<0x{i:02X}>" for i in range(256)]
    kinds = [3, 3, 3, 2] + [6] * 256
    tokens += [w.replace(" ", "\u2581") for w in words]
    kinds += [1] * len(words)
    scores = [0.0] * 260 + [-float(i) for i in range(len(words))]
    assert len(tokens) == VOCAB
    return tokens, scores, kinds


class Maker:
    """A GGUF file under way, and the exact values of what is in it."""

    def __init__(self, name, arch, seed):
        self.path = out / f"{name}.gguf"
        self.arch, self.rng = arch, np.random.default_rng(seed)
        self.writer, self.values = GGUFWriter(str(self.path), arch), {}
        self.writer.add_name(f"random {name}")
        tokens, scores, kinds = pieces()
        w = self.writer
        w.add_tokenizer_model("llama"), w.add_token_list(tokens), w.add_token_scores(scores), w.add_token_types(kinds)
        w.add_bos_token_id(1), w.add_eos_token_id(2), w.add_unk_token_id(3), w.add_pad_token_id(0)
        w.add_add_bos_token(False), w.add_add_space_prefix(True)

    def meta(self, **values):
        for key, value in values.items():
            key = f"{self.arch}." + key.replace("__", ".")
            if isinstance(value, str):
                self.writer.add_string(key, value)
            elif isinstance(value, int):
                self.writer.add_uint32(key, value)
            else:
                self.writer.add_float32(key, value)

    def put(self, name, values, kind):
        """Rounds values to a type, writes them, and keeps what was written."""
        values = np.ascontiguousarray(values, np.float32)
        if kind == "f32":
            self.values[name] = values
            self.writer.add_tensor(name, values)
        elif kind == "f16":
            self.values[name] = values.astype(np.float16).astype(np.float32)
            self.writer.add_tensor(name, values.astype(np.float16))
        else:
            qtype = Type[kind.upper()]
            data = quantize(values, qtype)
            self.values[name] = dequantize(data, qtype)
            self.writer.add_tensor(name, data, raw_dtype=qtype)

    def random(self, name, shape, kind, gain=1.0):
        self.put(name, self.rng.standard_normal(shape) * gain / np.sqrt(shape[-1]), kind)

    def norm(self, name, width):
        self.put(name, 1 + 0.2 * self.rng.standard_normal(width), "f32")

    def close(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def save(name, arrays):
    head, blobs, at = {}, [], 0
    for key, a in arrays.items():
        a = np.ascontiguousarray(a.astype("<i4") if a.dtype.kind in "iu" else a.astype("<f4"))
        head[key] = {
            "dtype": "I32" if a.dtype.kind == "i" else "F32",
            "shape": list(a.shape),
            "data_offsets": [at, at + a.nbytes],
        }
        at += a.nbytes
        blobs.append(a.tobytes())
    h = json.dumps(head).encode()
    h += b" " * (-len(h) % 8)
    (out / f"{name}.expected.safetensors").write_bytes(struct.pack("<Q", len(h)) + h + b"".join(blobs))


# --- Grok, in float64 ------------------------------------------------------------------------------------------------


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def rmsnorm(x, gain, eps=1e-5):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * gain


def cap(x, limit):
    return limit * np.tanh(x / limit) if limit else x


def grok_forward(tokens, values, p, collect):
    w = {k: v.astype(np.float64) for k, v in values.items()}
    n, heads, kv, size = len(tokens), p["heads"], p["kv"], p["size"]
    t = np.arange(n)
    angle = t[:, None] * p["base"] ** (-2.0 * np.arange(size // 2) / size)

    def rope(x):  # [n, heads, size]
        a, b = x[..., : size // 2], x[..., size // 2 :]
        c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
        return np.concatenate([a * c - b * s, b * c + a * s], -1)

    h = w["token_embd.weight"][tokens] * p["embedding_scale"]
    for layer in range(p["layers"]):
        get = lambda s: w[f"blk.{layer}.{s}.weight"]
        x = rmsnorm(h, get("attn_norm"))
        q = rope((x @ get("attn_q").T).reshape(n, heads, size))
        k = rope((x @ get("attn_k").T).reshape(n, kv, size))
        v = (x @ get("attn_v").T).reshape(n, kv, size)
        mixed = np.zeros((n, heads, size))
        for i in range(n):
            for head in range(heads):
                g = head // (heads // kv)
                s = cap(k[: i + 1, g] @ q[i, head] * p["attention_scale"], 30.0)
                if p["temperature"] and i > p["temperature"]:
                    s = s * np.log2(i) / np.log2(p["temperature"])
                mixed[i, head] = softmax(s) @ v[: i + 1, g]
        h = h + rmsnorm(mixed.reshape(n, -1) @ get("attn_output").T, get("attn_output_norm"))
        x = rmsnorm(h, get("ffn_norm"))
        router = softmax(cap(x @ get("ffn_gate_inp").T, p["router_cap"]))
        chosen = np.argsort(-router, -1, kind="stable")[:, :2]
        y = np.zeros_like(x)
        for i in range(n):
            for e in chosen[i]:
                inner = gelu(get("ffn_gate_exps")[e] @ x[i]) * (get("ffn_up_exps")[e] @ x[i])
                y[i] += router[i, e] * (get("ffn_down_exps")[e] @ inner)
        if p["dense"]:
            y = (y + (gelu(x @ get("ffn_gate").T) * (x @ get("ffn_up").T)) @ get("ffn_down").T) / np.sqrt(2)
        h = h + rmsnorm(y, get("post_ffw_norm" if p["dense"] else "layer_output_norm"))
        collect |= {f"hidden.{layer}": h, f"router.{layer}": router, f"experts.{layer}": chosen}
    x = rmsnorm(h, w["output_norm.weight"])
    return cap(x @ w.get("output.weight", w["token_embd.weight"]).T * p["logit_scale"], p["logit_cap"])


def make_grok(name, seed, second):
    width, heads, kv, size, experts, inner, dense = 64, 4, 2, 32, 5 if second else 8, 32, 96
    p = dict(layers=2, heads=heads, kv=kv, size=size, base=1e6 if second else 1e4, dense=second, temperature=5 if second else 0,
             router_cap=3.0 if second else 0, logit_cap=4.0 if second else 0, logit_scale=0.5 if second else 3**-0.5,
             embedding_scale=90.5 if second else 78.38367176906169,
             attention_scale=size**-0.5 if second else 128**-0.5)
    m = Maker(name, "grok", seed)
    m.meta(block_count=2, context_length=128, embedding_length=width, feed_forward_length=dense if second else inner,
           attention__head_count=heads, attention__head_count_kv=kv, attention__key_length=size, attention__value_length=size,
           attention__layer_norm_rms_epsilon=1e-5, rope__dimension_count=size, rope__freq_base=p["base"],
           expert_count=experts, expert_used_count=2)
    if second:
        m.meta(embedding_scale=90.5, logit_scale=0.5, attention__output_scale=float(size**-0.5), attn_logit_softcapping=30.0,
               router_logit_softcapping=3.0, final_logit_softcapping=4.0, attention__temperature_length=5,
               expert_feed_forward_length=inner, rope__scaling__type="yarn", rope__scaling__factor=16.0,
               rope__scaling__original_context_length=8)
        p["embedding_scale"] = 90.5
        p["attention_scale"] = float(np.float32(size**-0.5))
    else:
        # Converters write this for Grok-1 too; its own code has no such cap.
        m.meta(router_logit_softcapping=3.0)
    m.random("token_embd.weight", (VOCAB, width), "q8_0")
    if second:
        m.random("output.weight", (VOCAB, width), "q8_0", 3)
    m.norm("output_norm.weight", width)
    for layer in range(2):
        b = f"blk.{layer}."
        for norm in ["attn_norm", "attn_output_norm", "ffn_norm", "post_ffw_norm" if second else "layer_output_norm"]:
            m.norm(f"{b}{norm}.weight", width)
        # Queries and keys are drawn wide, so that the cap on scores bites.
        m.random(f"{b}attn_q.weight", (heads * size, width), "q8_0", 3)
        m.random(f"{b}attn_k.weight", (kv * size, width), "q8_0", 3)
        m.random(f"{b}attn_v.weight", (kv * size, width), "q8_0")
        m.random(f"{b}attn_output.weight", (width, heads * size), "q8_0")
        m.random(f"{b}ffn_gate_inp.weight", (experts, width), "f32", 2)
        for part, shape in [("gate", (inner, width)), ("up", (inner, width)), ("down", (width, inner))]:
            m.random(f"{b}ffn_{part}_exps.weight", (experts, *shape), "q8_0")
        if second:
            for part, shape in [("gate", (dense, width)), ("up", (dense, width)), ("down", (width, dense))]:
                m.random(f"{b}ffn_{part}.weight", shape, "q8_0")
    m.close()
    tokens = m.rng.integers(4, VOCAB, N)
    collect = {}
    logits = grok_forward(tokens, m.values, p, collect)
    save(name, {"tokens": tokens, "logits": logits, **collect})


# --- Llama and Mixtral, by mlx-lm ------------------------------------------------------------------------------------


def adjacent(w, heads):
    """Rows of a query or key projection from rotate-half order to the adjacent pairs of GGUF llama files."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def llama3_factors(base, size, scaling):
    """What converters store as rope_freqs.weight: the divisor of every frequency."""
    low, high = (scaling["original_max_position_embeddings"] / scaling[k] for k in ("low_freq_factor", "high_freq_factor"))
    factors = []
    for i in range(size // 2):
        wave = 2 * np.pi * base ** (2 * i / size)
        smooth = (scaling["original_max_position_embeddings"] / wave - scaling["low_freq_factor"]) / (
            scaling["high_freq_factor"] - scaling["low_freq_factor"])
        between = 1 / ((1 - smooth) / scaling["factor"] + smooth)
        factors.append(1.0 if wave < high else scaling["factor"] if wave > low else between)
    return np.array(factors, np.float32)


def make_llama(name, seed, experts):
    import mlx.core as mx
    from mlx_lm.models import llama, mixtral

    width, heads, kv, inner, layers = 64, 4, 2, 32 if experts else 96, 2
    size = width // heads
    base = 1e6 if experts else 10000.0
    m = Maker(name, "llama", seed)
    m.meta(block_count=layers, context_length=128, embedding_length=width, feed_forward_length=inner, vocab_size=VOCAB,
           attention__head_count=heads, attention__head_count_kv=kv, attention__layer_norm_rms_epsilon=1e-5,
           rope__dimension_count=size, rope__freq_base=base)
    if experts:
        m.meta(expert_count=experts, expert_used_count=2)
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64}
    hf = {}

    def both(gguf_name, hf_name, shape, permute=0, gain=1.0):
        plain = (m.rng.standard_normal(shape) * gain / np.sqrt(shape[-1])).astype(np.float16)
        hf[hf_name] = plain.astype(np.float32)
        m.put(gguf_name, adjacent(plain, permute) if permute else plain, "f16")

    def norm(gguf_name, hf_name):
        m.norm(gguf_name, width)
        hf[hf_name] = m.values[gguf_name]

    both("token_embd.weight", "model.embed_tokens.weight", (VOCAB, width), gain=4)
    norm("output_norm.weight", "model.norm.weight")
    if experts:
        both("output.weight", "lm_head.weight", (VOCAB, width), gain=3)
    else:
        m.put("rope_freqs.weight", llama3_factors(base, size, scaling), "f32")
    for layer in range(layers):
        b, p = f"blk.{layer}.", f"model.layers.{layer}."
        norm(f"{b}attn_norm.weight", f"{p}input_layernorm.weight")
        norm(f"{b}ffn_norm.weight", f"{p}post_attention_layernorm.weight")
        both(f"{b}attn_q.weight", f"{p}self_attn.q_proj.weight", (width, width), heads, 2)
        both(f"{b}attn_k.weight", f"{p}self_attn.k_proj.weight", (kv * size, width), kv, 2)
        both(f"{b}attn_v.weight", f"{p}self_attn.v_proj.weight", (kv * size, width))
        both(f"{b}attn_output.weight", f"{p}self_attn.o_proj.weight", (width, width))
        stack = (experts,) if experts else ()
        place = "block_sparse_moe.switch_mlp" if experts else "mlp"
        if experts:
            both(f"{b}ffn_gate_inp.weight", f"{p}block_sparse_moe.gate.weight", (experts, width), gain=2)
        for part, shape in [("gate", (inner, width)), ("up", (inner, width)), ("down", (width, inner))]:
            both(f"{b}ffn_{part}{'_exps' if experts else ''}.weight", f"{p}{place}.{part}_proj.weight", stack + shape)
    m.close()

    sizes = dict(hidden_size=width, num_hidden_layers=layers, intermediate_size=inner, num_attention_heads=heads,
                 num_key_value_heads=kv, rms_norm_eps=1e-5, vocab_size=VOCAB, rope_theta=base)
    if experts:
        model = mixtral.Model(mixtral.ModelArgs(model_type="mixtral", num_local_experts=experts, num_experts_per_tok=2,
                                                tie_word_embeddings=False, **sizes))
    else:
        model = llama.Model(llama.ModelArgs(model_type="llama", rope_scaling=scaling, tie_word_embeddings=True, **sizes))
    model.load_weights([(k, mx.array(v)) for k, v in hf.items()])
    tokens = m.rng.integers(4, VOCAB, N)
    logits = np.array(model(mx.array(tokens[None]))[0])
    save(name, {"tokens": tokens, "logits": logits})


def make_rope():
    from mlx_lm.models.rope_utils import YarnRoPE

    cases = []
    for dims, base, factor, context, fast, slow in [(128, 1e4, 16.0, 8192, 8, 1), (64, 5e5, 4.0, 4096, 32, 1),
                                                    (32, 1e4, 2.0, 64, 32, 1)]:
        rope = YarnRoPE(dims, base=base, scaling_factor=factor, original_max_position_embeddings=context,
                        beta_fast=fast, beta_slow=slow)
        cases.append({"dims": dims, "base": base, "factor": factor, "originalContext": context, "betaFast": fast,
                      "betaSlow": slow, "magnitude": rope.mscale, "frequencies": (1 / np.array(rope._freqs, float)).tolist()})
    (out / "rope.json").write_text(json.dumps(cases) + "\n")


make_grok("grok-1", 1, False)
make_grok("grok-2", 2, True)
make_llama("llama", 3, 0)
make_llama("mixtral", 4, 6)
make_rope()
