#!/usr/bin/env python3
"""Writes test/vectors/models/qwen3-moe: a small Qwen3 MoE model with random weights, and what transformers' implementation of it gives
in float64: logits and the hidden state after each layer.

usage: pip install torch transformers gguf && python make_qwen3_moe_vectors.py OUT_FOLDER
"""
import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFWriter
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

out = Path(sys.argv[1])
LAYERS, WIDTH, HEADS, KV, SIZE, EXPERTS, USED, INNER, VOCAB, N = 3, 32, 4, 2, 16, 6, 3, 32, 96, 21
torch.manual_seed(5)
config = Qwen3MoeConfig(
    vocab_size=VOCAB, hidden_size=WIDTH, intermediate_size=96, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
    num_key_value_heads=KV, head_dim=SIZE, moe_intermediate_size=INNER, num_experts=EXPERTS, num_experts_per_tok=USED,
    norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[], rms_norm_eps=1e-6, tie_word_embeddings=False,
    max_position_embeddings=128, rope_parameters={"rope_type": "default", "rope_theta": 1e6}, attn_implementation="eager",
    experts_implementation="eager",
)
model = Qwen3MoeForCausalLM(config).double().eval()
rng = np.random.default_rng(5)
writer = GGUFWriter(str(out / "qwen3-moe.gguf"), "qwen3moe")
writer.add_name("random qwen3-moe")
for key, value in dict(
    block_count=LAYERS, context_length=128, embedding_length=WIDTH, feed_forward_length=96, expert_feed_forward_length=INNER,
    expert_count=EXPERTS, expert_used_count=USED).items():
    writer.add_uint32(f"qwen3moe.{key}", value)
for key, value in dict(head_count=HEADS, head_count_kv=KV, key_length=SIZE, value_length=SIZE).items():
    writer.add_uint32(f"qwen3moe.attention.{key}", value)
writer.add_float32("qwen3moe.attention.layer_norm_rms_epsilon", 1e-6)
writer.add_float32("qwen3moe.rope.freq_base", 1e6)

names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
layer_names = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm", "mlp.gate": "ffn_gate_inp",
}


def draw(name, shape, gain=1.0):
    """Values that float16 holds exactly, or of a norm float32."""
    if len(shape) == 1:
        values = (1 + 0.2 * rng.standard_normal(shape)).astype(np.float32)
    else:
        values = (rng.standard_normal(shape) * gain / np.sqrt(shape[-1])).astype(np.float16)
    writer.add_tensor(f"{name}.weight", values)
    return torch.from_numpy(values.astype(np.float64))


with torch.no_grad():
    done = set()
    for key, parameter in model.named_parameters():
        module = key.removesuffix(".weight")
        if module in names:
            parameter.copy_(draw(names[module], tuple(parameter.shape), 1 if "embed" in module else 3))
        elif ".mlp.experts." in key:
            layer = int(key.split(".")[2])
            if layer in done:
                continue
            done.add(layer)
            block = f"blk.{layer}.ffn"
            gate, up = (draw(f"{block}_{part}_exps", (EXPERTS, INNER, WIDTH)) for part in ["gate", "up"])
            down = draw(f"{block}_down_exps", (EXPERTS, WIDTH, INNER))
            experts = model.model.layers[layer].mlp.experts
            experts.gate_up_proj.copy_(torch.cat([gate, up], 1))
            experts.down_proj.copy_(down)
        else:
            _, _, layer, inner = module.split(".", 3)
            gain = 2 if inner.endswith(("q_proj", "k_proj", "mlp.gate")) else 1
            parameter.copy_(draw(f"blk.{layer}.{layer_names[inner]}", tuple(parameter.shape), gain))
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
    tokens = torch.from_numpy(rng.integers(0, VOCAB, N))
    hidden = []
    for layer in model.model.layers:
        layer.register_forward_hook(lambda _, __, result: hidden.append(result[0] if isinstance(result, tuple) else result))
    logits = model(tokens[None]).logits[0]

arrays = {"tokens": tokens.numpy().astype("<i4"), "logits": logits.numpy().astype("<f4")}
arrays |= {f"hidden.{i}": h.reshape(N, WIDTH).numpy().astype("<f4") for i, h in enumerate(hidden)}
head, at = {}, 0
for key, array in arrays.items():
    head[key] = {"dtype": "I32" if array.dtype.kind == "i" else "F32", "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
    at += array.nbytes
text = json.dumps(head).encode()
text += b" " * (-len(text) % 8)
blob = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
(out / "qwen3-moe.expected.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + blob)
