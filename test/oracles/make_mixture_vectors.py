"""Which types llama.cpp's quantizer chooses: test/vectors/mixtures.json. For models of some shapes, with and without importance, and
every mixture: the type of each tensor that is not kept.

    pip install gguf numpy
    python make_mixture_vectors.py FOLDER_OF_LIBLLAMA

Models are written with zeros for weights; only names, shapes and metadata matter.
"""
import ctypes
import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import gguf

here = Path(__file__).resolve().parent.parent / "vectors"
FILE_TYPES = {
    "Q2_K": 10, "Q2_K_S": 21, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_0": 2, "Q4_1": 3, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_0": 8,
    "Q5_1": 9, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "Q8_0": 7, "IQ1_S": 24, "IQ1_M": 31, "IQ2_XXS": 19, "IQ2_XS": 20, "IQ2_S": 28,
    "IQ2_M": 29, "IQ3_XXS": 23, "IQ3_XS": 22, "IQ3_S": 26, "IQ3_M": 27, "IQ4_NL": 25, "IQ4_XS": 30, "TQ1_0": 36, "TQ2_0": 37,
    "MXFP4_MOE": 38, "F16": 1, "BF16": 32,
}
# architecture, layers, width, heads, heads of keys and values, hidden, experts, whether the output is the embedding
SHAPES = {
    "llama": ("llama", 12, 256, 8, 8, 512, 0, True),
    "llama-grouped": ("llama", 17, 256, 8, 2, 512, 0, False),
    "llama-narrow": ("llama", 8, 96, 3, 1, 256, 0, True),
    "llama-70b": ("llama", 80, 256, 8, 1, 256, 0, False),
    "mixtral": ("llama", 16, 256, 8, 2, 512, 8, False),
    "four-experts": ("llama", 9, 256, 8, 4, 512, 4, False),
    "grok": ("grok", 16, 256, 8, 2, 512, 8, True),
}


class Params(ctypes.Structure):
    _fields_ = [("threads", ctypes.c_int32), ("file_type", ctypes.c_int), ("output", ctypes.c_int), ("embedding", ctypes.c_int),
                ("requantize", ctypes.c_bool), ("quantize_output", ctypes.c_bool), ("only_copy", ctypes.c_bool), ("pure", ctypes.c_bool),
                ("keep_split", ctypes.c_bool), ("dry_run", ctypes.c_bool), ("importance", ctypes.c_void_p), ("overrides", ctypes.c_void_p),
                ("tensors", ctypes.c_void_p), ("prune", ctypes.c_void_p), ("room", ctypes.c_char * 64)]


class Entry(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.c_void_p), ("size", ctypes.c_size_t)]


def tensors_of(arch, layers, width, heads, kv, hidden, experts, tied):
    size = width // heads
    yield "token_embd.weight", (64, width)
    if not tied:
        yield "output.weight", (64, width)
    yield "output_norm.weight", (width,)
    for i in range(layers):
        p = f"blk.{i}."
        yield p + "attn_norm.weight", (width,)
        yield p + "attn_q.weight", (width, width)
        yield p + "attn_k.weight", (kv * size, width)
        yield p + "attn_v.weight", (kv * size, width)
        yield p + "attn_output.weight", (width, width)
        yield p + "ffn_norm.weight", (width,)
        if arch == "grok":
            yield p + "attn_output_norm.weight", (width,)
            yield p + "layer_output_norm.weight", (width,)
        if experts:
            yield p + "ffn_gate_inp.weight", (experts, width)
        stack = (experts,) if experts else ()
        tail = "_exps" if experts else ""
        yield p + f"ffn_gate{tail}.weight", (*stack, hidden, width)
        yield p + f"ffn_up{tail}.weight", (*stack, hidden, width)
        yield p + f"ffn_down{tail}.weight", (*stack, width, hidden)


def write(path, shape):
    arch, layers, width, heads, kv, hidden, experts, _ = shape
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(layers)
    w.add_context_length(64)
    w.add_embedding_length(width)
    w.add_feed_forward_length(hidden)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(64)
    if experts:
        w.add_expert_count(experts)
        w.add_expert_used_count(2)
    for name, dims in tensors_of(*shape):
        f32 = len(dims) == 1 or name.endswith("ffn_gate_inp.weight")
        w.add_tensor(name, np.zeros(dims, dtype=np.float32 if f32 else np.float16))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in ("libggml-base.so", *(p.name for p in folder.glob("libggml.*"))):
        ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    llama = ctypes.CDLL(str(next(folder.glob("libllama.*"))))
    llama.llama_model_quantize_default_params.restype = Params
    said = []
    log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda level, text, _: said.append(text))
    llama.llama_log_set(log, None)
    vectors = {}
    with tempfile.TemporaryDirectory() as scratch:
        for label, shape in SHAPES.items():
            source, target = f"{scratch}/in.gguf", f"{scratch}/out.gguf"
            write(source, shape)
            all_tensors = list(tensors_of(*shape))
            stacks = {n: np.ones(d[-1] * (d[0] if len(d) == 3 else 1), dtype=np.float32) for n, d in all_tensors if len(d) > 1}
            entries = (Entry * (len(stacks) + 1))(*[Entry(n.encode(), a.ctypes.data, a.size) for n, a in stacks.items()])
            found = {}
            for informed in (False, True):
                for mixture, number in FILE_TYPES.items():
                    params = llama.llama_model_quantize_default_params()
                    params.threads, params.file_type, params.dry_run = 2, number, True
                    if informed:
                        params.importance = ctypes.addressof(entries)
                    said.clear()
                    if llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)) != 0:
                        continue
                    # A dry run only says what it would choose.
                    text = b"".join(said).decode()
                    lines = re.findall(r"\] +(\S+) +- \[[^]]*\], type = *(\w+),([^\n]*)", text)
                    types = {n: (re.findall(r"\((\w+)\)", rest) or [t])[-1].lower() for n, t, rest in lines}
                    # As runs of layers of equal types, by tensor.
                    lists = {}
                    for name, _ in all_tensors:
                        if name not in types or types[name] == "f32" and "norm" in name:
                            continue
                        key = name if not name.startswith("blk.") else name.split(".", 2)[2]
                        runs = lists.setdefault(key, [])
                        if runs and runs[-1][0] == types[name]:
                            runs[-1][1] += 1
                        else:
                            runs.append([types[name], 1])
                    found[mixture + ("+" if informed else "")] = {k: " ".join(f"{t}*{n}" if n > 1 else t for t, n in v) for k, v in lists.items()}
            arch, layers, width, heads, kv, hidden, experts, tied = shape
            about = dict(architecture=arch, layers=layers, width=width, heads=heads, kvHeads=kv, hidden=hidden, experts=experts, tied=tied)
            vectors[label] = {"shape": about, "types": found}
    # A mixture a line.
    text = re.sub(r'("[A-Z0-9_]+\+?":\{)', r"\n\1", json.dumps(vectors, separators=(",", ":")))
    (here / "mixtures.json").write_text(text + "\n")
