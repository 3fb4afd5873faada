#!/usr/bin/env python3
"""Writes patterns.json: the rank and the scale that peft gives to each module for configurations with patterns.

usage: pip install torch transformers peft && python make_lora_patterns.py OUT_FILE

No weights are kept: the model only has the modules of test/vectors/models/llama.gguf.
"""
import json
import sys
from pathlib import Path

from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

LAYERS = 2
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = [
    {"r": 4, "lora_alpha": 6},
    {"r": 4, "lora_alpha": 6, "use_rslora": True},
    {"r": 4, "lora_alpha": 8, "rank_pattern": {"v_proj": 2, "self_attn.v_proj": 3}, "alpha_pattern": {"o_proj": 3, "v_proj": 5}},
    # The first that matches counts, the narrower or not; a name is whole only after a dot.
    {"r": 4, "lora_alpha": 8, "rank_pattern": {"self_attn.v_proj": 3, "v_proj": 2, "proj": 7, "oj": 9}},
    {"r": 4, "lora_alpha": 8, "alpha_pattern": {"0.self_attn.q_proj": 1, "model.layers.1.self_attn.q_proj": 2, "q_proj": 3}},
    # Regular expressions: "^" takes the whole name, "\." is a dot, "." is anything.
    {"r": 4, "lora_alpha": 8, "rank_pattern": {"^layers.0.mlp.up_proj": 5, "^model.layers.0.mlp.up_proj": 6, r"1\.mlp\.up_proj": 7}},
    {"r": 4, "lora_alpha": 8, "use_rslora": True, "rank_pattern": {"mlp.down.proj": 9, "layers..self_attn.k_proj": 5}},
    {"r": 4, "lora_alpha": 8, "rank_pattern": {r"layers\.[01]\.mlp.*": 2, "k_proj": 3, "v_.*": 5}},
    {"r": 4, "lora_alpha": 8, "target_modules": ["self_attn.q_proj", "model.layers.1.mlp.up_proj", "proj", "wn_proj"]},
]

shape = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=LAYERS, num_attention_heads=2)
cases = []
for given in CASES:
    config = LoraConfig(**{"target_modules": ALL, **given})
    model = get_peft_model(LlamaForCausalLM(shape), config)
    found = {
        name.removeprefix("base_model.model."): [module.r["default"], module.scaling["default"]]
        for name, module in model.named_modules() if isinstance(getattr(module, "scaling", None), dict)
    }
    cases.append({"config": {"peft_type": "LORA", "target_modules": ALL, **given}, "modules": found})
Path(sys.argv[1]).write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
