#!/usr/bin/env python3
"""Writes test/vectors/hugging-face: small random models in Hugging Face's layout, saved by transformers with tokenizers of both kinds;
what transformers' implementation gives in float32 for some tokens; and what llama.cpp's converter makes of each folder: metadata, and a
hash of each tensor.

usage: pip install torch transformers gguf sentencepiece && python make_hugging_face_vectors.py LLAMA_CPP_SOURCE OUT_FOLDER
"""
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from gguf import GGUFReader
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

llama_cpp, out = Path(sys.argv[1]), Path(sys.argv[2])
VOCAB, N = 352, 8
TEXT = [
    "the sun and the moon rose over the stone hills", "a fox ran to the sea and did not come back", "rain fell on the old stone",
    "It's 1234 o'clock, they'll say; we've 56789 more.", "señor año café über naïve", "x = [1, 2, 3]\n\nfor i in x:\n    print(i)",
] * 20
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEMPLATE = "{% for m in messages %}{{ bos_token + '<|start|>' + m['role'] + '\n' + m['content'] + '<|eot_id|>' }}{% endfor %}"


def byte_level_tokenizer(folder):
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(
        vocab_size=VOCAB - 8, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|start|>", "<|eot_id|>"])
    tokenizer.add_tokens([AddedToken("[[note]]", normalized=False)])
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", bos)])])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "tokenizer_class": "PreTrainedTokenizerFast",
                "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))
    ends = [tokenizer.token_to_id(name) for name in ["<|end_of_text|>", "<|eot_id|>"]]
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": bos, "eos_token_id": ends}))


def sentencepiece_model(folder):
    lines = folder / "text.txt"
    lines.write_text("\n".join(line.replace("\n", " ") for line in TEXT))
    sentencepiece.SentencePieceTrainer.Train(
        input=str(lines), model_prefix=str(folder / "tokenizer"), vocab_size=VOCAB - 6, model_type="bpe", byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True, character_coverage=1.0,
        minloglevel=2)
    lines.unlink()
    (folder / "tokenizer.vocab").unlink()


def sentencepiece_tokenizer(folder):
    sentencepiece_model(folder)
    decoder = {str(i): {"content": name, "special": True} for i, name in enumerate(["<unk>", "<s>", "</s>"])}
    decoder[str(VOCAB - 6)] = {"content": "<|im_start|>", "special": False}
    decoder[str(VOCAB - 5)] = {"content": "[note]", "special": False}
    settings = {"add_bos_token": True, "add_eos_token": False, "added_tokens_decoder": decoder, "bos_token": "<s>",
                "eos_token": {"content": "</s>"}, "unk_token": "<unk>", "legacy": True, "tokenizer_class": "LlamaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


def sentencepiece_as_json(folder):
    """SentencePiece's BPE as the tokenizers library has it, with its ids for some texts; and the model itself, which is not kept."""
    sentencepiece_model(folder)
    processor = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    pieces = [processor.IdToPiece(i) for i in range(processor.vocab_size())]
    ids = {piece: i for i, piece in enumerate(pieces)}
    merges = []
    for piece in sorted((p for p in pieces[259:]), key=lambda p: -processor.GetScore(ids[p])):
        pairs = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in ids and piece[i:] in ids]
        merges += sorted(pairs, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    added = [{"id": i, "content": pieces[i], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i in range(3)]
    content = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": None,
        "post_processor": {"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": None,
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "vocab": ids,
                  "merges": [" ".join(pair) for pair in merges]},
    }
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False, indent=0))
    Tokenizer.from_file(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "tokenizer_class": "LlamaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


def run_converter(folder):
    """Metadata as text, and a hash of each tensor's float32 values."""
    target = folder / "oracle.gguf"
    # It knows pre-tokenizers by a hash of what published vocabularies make of a text; this vocabulary is none of them.
    program = """import runpy, sys
sys.path.insert(0, sys.argv[1])
from conversion.base import TextModel
TextModel.get_vocab_base_pre = lambda self, tokenizer: "llama-bpe"
sys.argv = sys.argv[1:]
sys.argv[0] += "/convert_hf_to_gguf.py"
runpy.run_path(sys.argv[0], run_name="__main__")"""
    subprocess.run([sys.executable, "-c", program, str(llama_cpp), str(folder), "--outfile", str(target), "--outtype", "f32"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    reader = GGUFReader(target)
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    tensors = {}
    for tensor in reader.tensors:
        values = np.ascontiguousarray(tensor.data).astype(np.float32)
        tensors[tensor.name] = {"shape": [int(n) for n in reversed(tensor.shape)], "sha256": hashlib.sha256(values.tobytes()).hexdigest()}
        # Computed, not copied: the last digit may be another.
        if tensor.name == "rope_freqs.weight":
            tensors[tensor.name] = {"shape": [int(n) for n in tensor.shape], "values": values.tolist()}
    target.unlink()
    return {"metadata": fields, "tensors": tensors}


def write(name, model, dtype, tokenizer, shard="5GB"):
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.manual_seed(len(name))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
            else:
                parameter.copy_(torch.randn_like(parameter) * (3.0 / parameter.shape[-1]) ** 0.5)
    model = model.to(dtype)
    model.save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tokenizer(folder)
    # Anew, since a conversion to 16 bits takes the frequencies of the rotary embedding along.
    model = type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = torch.tensor(np.random.default_rng(3).integers(3, VOCAB, N))
    with torch.no_grad():
        logits = model(tokens[None]).logits[0]
    save_file({"tokens": tokens.numpy().astype(np.int32), "logits": logits.numpy().astype(np.float32)},
              folder / "expected.safetensors")
    shutil.move(folder / "expected.safetensors", out / f"{name}.expected.safetensors")
    expected = run_converter(folder)
    if (folder / "tokenizer.json").exists():
        (folder / "tokenizer.model").unlink(missing_ok=True)
    (out / f"{name}.expected.json").write_text(json.dumps(expected, ensure_ascii=False, separators=(",", ":")))


common = dict(vocab_size=VOCAB, num_hidden_layers=2, max_position_embeddings=256, attn_implementation="eager")
write("llama-2", LlamaForCausalLM(LlamaConfig(
    hidden_size=16, intermediate_size=48, num_attention_heads=2, num_key_value_heads=2, rms_norm_eps=1e-5, bos_token_id=1,
    eos_token_id=2, **common)), torch.float16, sentencepiece_tokenizer, shard="20KB")
write("llama-3", LlamaForCausalLM(LlamaConfig(
    hidden_size=16, intermediate_size=64, num_attention_heads=2, num_key_value_heads=1, head_dim=16, rms_norm_eps=1e-5,
    tie_word_embeddings=True, rope_parameters={
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}, **common)), torch.bfloat16, byte_level_tokenizer)
write("mixtral", MixtralForCausalLM(MixtralConfig(
    hidden_size=16, intermediate_size=32, num_attention_heads=2, num_key_value_heads=1, num_local_experts=4, num_experts_per_tok=2,
    rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, experts_implementation="eager", **common)), torch.bfloat16,
    sentencepiece_as_json)
