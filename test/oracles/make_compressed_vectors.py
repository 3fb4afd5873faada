#!/usr/bin/env python3
"""Writes test/vectors/hugging-face/compressed.safetensors: matrices [32, 64] that the compressed-tensors package (0.20.0) packed, and
what it unpacks them to in float32 as NAME.expected.

usage: pip install torch compressed-tensors && python make_compressed_vectors.py OUT_FILE
"""
import sys

import torch
from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor as Packed
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import save_file

OUT, IN = 32, 64
torch.manual_seed(3)
tensors = {}


def pack(name, bits, symmetric, strategy, dtype, group=None):
    args = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy=strategy, group_size=group)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    groups = IN // group if group else 1
    state = {"weight": torch.randn(OUT, IN) * 0.05, "weight_scale": (torch.rand(OUT, groups) * 0.01 + 0.001).to(dtype)}
    half = 2 ** (bits - 1)
    if not symmetric:
        state["weight_zero_point"] = torch.randint(-half, half, (OUT, groups), dtype=torch.int8)
    packed = Packed.compress({**state, "weight_scale": state["weight_scale"].float()}, scheme)
    expected = Packed.decompress(packed, scheme)["weight"]
    packed["weight_scale"] = state["weight_scale"]
    for key, value in packed.items():
        tensors[f"{name}.{key}"] = value.contiguous()
    tensors[f"{name}.expected"] = expected.float().contiguous()


pack("int4", 4, True, "group", torch.bfloat16, 32)
pack("int4-asymmetric", 4, False, "group", torch.float16, 32)
pack("int8", 8, True, "group", torch.float16, 32)
pack("int8-asymmetric", 8, False, "channel", torch.bfloat16)
save_file(tensors, sys.argv[1])
