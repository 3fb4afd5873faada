#!/usr/bin/env python3
"""Writes test/vectors/lora/{gguf-llama,gguf-mixtral}: random adapters as peft saves them for the models of test/vectors/models,
and the same as llama.cpp's convert_lora_to_gguf.py (MIT licence) writes them.

usage: pip install torch transformers gguf safetensors && python make_gguf_lora_vectors.py LLAMA_CPP_FOLDER OUT_FOLDER
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

converter, out = Path(sys.argv[1]) / "convert_lora_to_gguf.py", Path(sys.argv[2])
WIDTH, KV, RANK, ALPHA, EXPERTS, LAYERS = 64, 32, 2, 6, 6, 2
common = {
    "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "vocab_size": 288, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
}
models = {
    "llama": {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "intermediate_size": 96},
    "mixtral": {
        "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "intermediate_size": 32,
        "num_local_experts": EXPERTS, "num_experts_per_tok": 2,
    },
}


def modules(name, config):
    """Names and sides (out, in) of every matrix of a layer."""
    hidden = config["intermediate_size"]
    yield from ((f"self_attn.{part}_proj", rows, WIDTH) for part, rows in [("q", WIDTH), ("k", KV), ("v", KV), ("o", WIDTH)])
    up, down = (hidden, WIDTH), (WIDTH, hidden)
    if name == "llama":
        yield from ((f"mlp.{part}_proj", *sides) for part, sides in [("gate", up), ("up", up), ("down", down)])
    else:
        for expert in range(EXPERTS):
            place = f"block_sparse_moe.experts.{expert}"
            yield from ((f"{place}.{part}", *sides) for part, sides in [("w1", up), ("w2", down), ("w3", up)])


torch.manual_seed(2)
for name, config in models.items():
    folder = out / f"gguf-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    tensors, targets = {}, set()
    for layer in range(LAYERS):
        for module, rows, columns in modules(name, config):
            # Some matrices have none, as with target_modules; a stack of experts has all.
            if layer == 1 and module == "self_attn.v_proj":
                continue
            key = f"base_model.model.model.layers.{layer}.{module}"
            targets.add(module.split(".")[-1])
            tensors[f"{key}.lora_A.weight"] = torch.randn(RANK, columns).half()
            tensors[f"{key}.lora_B.weight"] = torch.randn(rows, RANK).half()
    save_file(tensors, folder / "adapter_model.safetensors")
    adapter = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": sorted(targets), "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(adapter, indent=1) + "\n")
    with tempfile.TemporaryDirectory() as base:
        (Path(base) / "config.json").write_text(json.dumps(common | config))
        file = folder / "adapter.gguf"
        subprocess.run([sys.executable, converter, "--base", base, "--outtype", "f16", "--outfile", file, folder], check=True)
