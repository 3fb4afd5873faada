#!/usr/bin/env python3
"""Writes test/vectors/lora: adapters made and saved by peft, and the logits of transformers with peft on the same base.

usage: pip install torch transformers peft gguf && python make_lora_vectors.py MODELS_FOLDER OUT_FOLDER

  llama/   every projection, rank-stabilised, with a rank and an alpha of their own for some
With a third argument, an adapter's folder, writes nothing: prints the largest difference of logits that the adapter makes
with peft from those in FOLDER/expected.json.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

models, out = Path(sys.argv[1]), Path(sys.argv[2])
TOKENS = [4, 18, 9, 33, 2, 57, 200, 281]
reader = GGUFReader(models / "llama.gguf")
values = {t.name: np.array(dequantize(t.data, t.tensor_type)).astype(np.float32) for t in reader.tensors}
meta = {k.split("llama.")[-1]: f.contents() for k, f in reader.fields.items() if k.startswith("llama.")}
HEADS, KV, SIZE = meta["attention.head_count"], meta["attention.head_count_kv"], meta["rope.dimension_count"]


def unpermute(w, heads):
    """The inverse of what the converter does to queries' and keys' rows."""
    return w.reshape(heads, SIZE // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def base():
    config = LlamaConfig(
        vocab_size=meta["vocab_size"], hidden_size=meta["embedding_length"], intermediate_size=meta["feed_forward_length"],
        num_hidden_layers=meta["block_count"], num_attention_heads=HEADS, num_key_value_heads=KV, head_dim=SIZE,
        rms_norm_eps=meta["attention.layer_norm_rms_epsilon"], max_position_embeddings=meta["context_length"],
        tie_word_embeddings="output.weight" not in values, attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).float().eval()
    names = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
             "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    state = {"model.embed_tokens.weight": values["token_embd.weight"], "model.norm.weight": values["output_norm.weight"],
             "lm_head.weight": values.get("output.weight", values["token_embd.weight"])}
    for name, w in values.items():
        if not name.startswith("blk."):
            continue
        _, layer, part, _ = name.split(".")
        heads = {"attn_q": HEADS, "attn_k": KV}.get(part)
        state[f"model.layers.{layer}.{names[part]}.weight"] = unpermute(w, heads) if heads else w
    model.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=True)
    if "rope_freqs.weight" in values:
        model.model.rotary_emb.inv_freq = model.model.rotary_emb.inv_freq / torch.tensor(values["rope_freqs.weight"])
    return model


def logits(model):
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0].double().numpy()


if len(sys.argv) > 3:
    folder = Path(sys.argv[3])
    expected = np.array(json.loads((folder / "expected.json").read_text())["logits"])
    found = logits(PeftModel.from_pretrained(base(), folder)).ravel()
    print(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    sys.exit()

torch.manual_seed(1)
config = LoraConfig(
    r=4, lora_alpha=8, use_rslora=True, task_type="CAUSAL_LM", init_lora_weights=False,
    rank_pattern={"v_proj": 2}, alpha_pattern={"o_proj": 3},
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
)
model = get_peft_model(base(), config).eval()
plain = logits(base())
found = logits(model)
model.save_pretrained(out / "llama")
(out / "llama" / "README.md").unlink(missing_ok=True)
settings = json.loads((out / "llama" / "adapter_config.json").read_text())
settings["base_model_name_or_path"] = "llama"
(out / "llama" / "adapter_config.json").write_text(json.dumps(settings, indent=2, default=list) + "\n")
rounded = [float(f"{x:.8g}") for x in found[-3:].ravel()]
head = {"tokens": TOKENS, "base": [float(f"{x:.8g}") for x in plain[-1]]}
(out / "llama" / "expected.json").write_text(json.dumps({**head, "logits": rounded}) + "\n")
