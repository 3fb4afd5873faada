#!/usr/bin/env python3
"""Writes test/vectors/hugging-face/packed.safetensors: matrices [32, 64] as GPTQ, AWQ, EXL2 and LLM.int8() store them, packed and
dequantized after the published code of AutoGPTQ (qlinear_cuda_old.py), AutoAWQ (utils/packing_utils.py), exllamav2 (pack_tensor.cu,
q_matrix.cu, qdq_util.cuh) and bitsandbytes; what each is in float32 as NAME.expected.

usage: pip install numpy safetensors && python make_packed_vectors.py OUT_FILE
"""
import sys

import numpy as np
from safetensors.numpy import save_file

OUT, IN, GROUP = 32, 64, 32
rng = np.random.default_rng(12)
tensors = {}


def words(values, bits=4):
    """Integers along the last axis, the first in the lowest bits of an int32."""
    packed = values.reshape(*values.shape[:-1], -1, 32 // bits).astype(np.uint32) << np.arange(0, 32, bits, dtype=np.uint32)
    return packed.sum(-1, dtype=np.uint32).astype(np.uint32).view(np.int32)


def scales(*shape):
    return (rng.uniform(0.001, 0.02, shape)).astype(np.float16)


def gptq(name, zeros, format_v1=True):
    q = rng.integers(0, 16, (IN, OUT))
    s = scales(IN // GROUP, OUT)
    tensors[f"{name}.qweight"] = np.ascontiguousarray(words(q.T).T)
    tensors[f"{name}.qzeros"] = words(zeros - 1 if format_v1 else zeros)
    tensors[f"{name}.scales"] = s
    tensors[f"{name}.g_idx"] = (np.arange(IN) // GROUP).astype(np.int32)
    each = np.repeat(s.astype(np.float64), GROUP, 0) * (q - np.repeat(zeros, GROUP, 0))
    tensors[f"{name}.expected"] = np.ascontiguousarray(each.T.astype(np.float32))


gptq("gptq-symmetric", np.full((IN // GROUP, OUT), 8))
gptq("gptq", rng.integers(1, 16, (IN // GROUP, OUT)))
gptq("gptq-v2", rng.integers(0, 16, (IN // GROUP, OUT)), format_v1=False)

q, zeros, s = rng.integers(0, 16, (IN, OUT)), rng.integers(0, 16, (IN // GROUP, OUT)), scales(IN // GROUP, OUT)
order = np.array([0, 2, 4, 6, 1, 3, 5, 7])
interleave = lambda values: values.reshape(len(values), -1, 8)[:, :, order].reshape(len(values), -1)
tensors["awq.qweight"], tensors["awq.qzeros"], tensors["awq.scales"] = words(interleave(q)), words(interleave(zeros)), s
each = np.repeat(s.astype(np.float64), GROUP, 0) * (q - np.repeat(zeros, GROUP, 0))
tensors["awq.expected"] = np.ascontiguousarray(each.T.astype(np.float32))

widths = [8, 6, 5, 4, 3, 2]
rows = [16, 16, 32, 16, 32, 16]
total = sum(rows)
packed, groups, columns, start = [], [], [], 0
s4, largest = rng.integers(0, 16, (len(widths), OUT)), rng.uniform(0.05, 0.3, len(widths)).astype(np.float16)
for i, (bits, count) in enumerate(zip(widths, rows)):
    q = rng.integers(0, 2**bits, (count, OUT))
    stream = ((q[:, :, None] >> np.arange(bits)) & 1).transpose(0, 2, 1).reshape(count * bits, OUT)
    out = (stream.reshape(-1, 32, OUT).astype(np.uint64) << np.arange(32, dtype=np.uint64)[None, :, None]).sum(1)
    packed.append(out.astype(np.uint32).view(np.int32))
    groups += [bits, start]
    start += len(packed[-1])
    prescaled = np.float16(largest[i] / np.float16(256))
    scale = (((s4[i] + 1) ** 2).astype(np.float16) * prescaled).astype(np.float16)
    columns.append((q - 2 ** (bits - 1)) * scale.astype(np.float64))
perm = rng.permutation(total)
each = np.empty((total, OUT))
each[perm] = np.concatenate(columns)
tensors["exl2.q_weight"] = np.concatenate(packed)
tensors["exl2.q_scale"] = words(s4)
tensors["exl2.q_scale_max"] = largest
tensors["exl2.q_groups"] = np.array(groups, np.int16)
tensors["exl2.q_invperm"] = np.argsort(perm).astype(np.int32)
tensors["exl2.expected"] = np.ascontiguousarray(each.T.astype(np.float32))

w, absmax = rng.integers(-127, 128, (OUT, IN)).astype(np.int8), rng.uniform(0.1, 2, OUT).astype(np.float32)
tensors["int8.weight"], tensors["int8.SCB"] = w, absmax
tensors["int8.expected"] = (w * (absmax.astype(np.float64) / 127)[:, None]).astype(np.float32)
save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, sys.argv[1])
