"""Writes ../vectors/tensor-types: what the Python gguf package makes of random blocks of every tensor type.

    pip install gguf numpy
    python make_tensor_vectors.py

decode/TYPE.bin   encoded blocks, then the float32 values gguf.quants.dequantize gives (NaN written as 7fc00000)
encode/TYPE.bin   float32 values, then the bytes gguf.quants.quantize gives
index.json        elements of each file
digests.json      SHA-256 of what gguf.quants.dequantize gives (NaN as above) for 1,024 blocks of types with tables, whose bytes the test
                  draws again with the same generator: every entry of a table is met
"""
import hashlib
import json
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as T, quants
from gguf.constants import GGML_QUANT_SIZES

here = Path(__file__).resolve().parent.parent / "vectors" / "tensor-types"
rng = np.random.default_rng(20240317)

# Where a block's f16 scales are.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
}
# The types below 4 bits, and those of 4-bit floats, which have no f16.
SMALL = {
    "IQ1_S": [0], "IQ1_M": [], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "TQ1_0": [52], "TQ2_0": [64],
    "MXFP4": [], "NVFP4": [],
}
# Zero, negative zero, subnormals, largest, infinities, NaN.
SPECIAL = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0xFE01, 0x3C00]


def canonical(values):
    bits = values.astype(np.float32).view(np.uint32).copy()
    bits[np.isnan(values)] = 0x7FC00000
    return bits


def decoding(name):
    size, nbytes = GGML_QUANT_SIZES[T[name]]
    if size == 1:
        kind = {"F32": np.float32, "F16": np.float16, "BF16": None}[name]
        raw = rng.integers(0, 256, (1, 256 * nbytes), dtype=np.uint8)
        values = quants.dequantize(raw.view(kind) if kind else raw, T[name])
        return raw, np.asarray(values, dtype=np.float32)
    blocks = 24 if size == 32 else 14
    raw = rng.integers(0, 256, (blocks, nbytes), dtype=np.uint8)
    for b in range(blocks):
        for k, at in enumerate(SCALES[name]):
            if b < len(SPECIAL):
                half = SPECIAL[(b + 5 * k) % len(SPECIAL)]
            else:
                half = int(rng.integers(0, 65536))
            raw[b, at : at + 2] = np.array([half], dtype="<u2").view(np.uint8)
    with np.errstate(all="ignore"):
        return raw, quants.dequantize(raw, T[name])


def small(name):
    size, nbytes = GGML_QUANT_SIZES[T[name]]
    rng = np.random.default_rng(T[name].value)
    specials = [0x8000, 0x83FF, 0x7C00, 0x7E00, 0x2E66]
    blocks = len(specials) if size == 256 else 16
    raw = rng.integers(0, 256, (blocks, nbytes), dtype=np.uint8)
    for b, half in enumerate(specials):
        for at in SMALL[name]:
            raw[b, at : at + 2] = np.array([half], dtype="<u2").view(np.uint8)
        if name == "IQ1_M":
            for i in range(4):
                raw[b, 49 + 2 * i] = (raw[b, 49 + 2 * i] & 15) | (half >> (4 * i) & 15) << 4
    if name == "MXFP4":
        raw[:4, 0] = [0, 1, 2, 255]
    if name == "NVFP4":
        raw[0, :4] = [0, 7, 8, 127]
    with np.errstate(all="ignore"):
        return raw, quants.dequantize(raw, T[name])


def digest(name):
    nbytes = GGML_QUANT_SIZES[T[name]][1]
    draw = generator(1234567)
    raw = np.array([int(next(draw) * 256) for _ in range(1024 * nbytes)], dtype=np.uint8).reshape(1024, nbytes)
    with np.errstate(all="ignore"):
        return hashlib.sha256(canonical(quants.dequantize(raw, T[name])).tobytes()).hexdigest()


def encoding(name):
    rows = [rng.standard_normal(32) * scale for scale in (1, 0.02, 1e-3, 1e-6, 300, 1e4) for _ in range(3)]
    rows += [
        np.zeros(32), np.full(32, 0.75), np.full(32, -0.75), np.arange(32) - 16, (np.arange(32) - 16) / 2,
        np.concatenate([[-127], np.arange(31) + 0.5]), np.concatenate([[8.0, -8.0], np.arange(30) / 4 - 3]),
        np.where(np.arange(32) == 7, 1.0, 0.0), np.abs(rng.standard_normal(32)), -np.abs(rng.standard_normal(32)),
    ]
    values = np.array(rows, dtype=np.float32)
    if name in ("F16", "BF16"):
        edges = np.array(
            [0, 0x80000000, 1, 0x33000000, 0x33000001, 0x33800000, 0x33C00000, 0x387FC000, 0x387FE000, 0x387FFFFF,
             0x38800000, 0x477FEFFF, 0x477FF000, 0x7F7FFFFF, 0x7F7F8000, 0x7F800000, 0xFF800000, 0x3F808000, 0x3F818000,
             0x3F801000, 0x3F803000, 0x3F800FFF, 0x3F801001, 0xB8000001, 0x00008000, 0x00018000, 0x38000FFF, 0xB3400000,
             0x33FFFFFF, 0x3FFFF000, 0x3FFFFFFF, 0xC77FEFFF], dtype=np.uint32).view(np.float32)
        random = rng.integers(0, 2**32, (8, 32), dtype=np.uint32)
        random[(random & 0x7F800000) == 0x7F800000] = 0x3F800000
        values = np.concatenate([values, edges[None], random.view(np.float32)])
    with np.errstate(all="ignore"):
        out = quants.quantize(values, T[name])
    return values, np.ascontiguousarray(out).view(np.uint8)


if __name__ == "__main__":
    (here / "decode").mkdir(parents=True, exist_ok=True)
    (here / "encode").mkdir(parents=True, exist_ok=True)
    index = {"decode": {}, "encode": {}}
    for name in ["F32", "F16", "BF16", *SCALES]:
        raw, values = decoding(name)
        (here / "decode" / f"{name.lower()}.bin").write_bytes(raw.tobytes() + canonical(values).tobytes())
        index["decode"][name.lower()] = int(values.size)
    for name in SMALL:
        raw, values = small(name)
        (here / "decode" / f"{name.lower()}.bin").write_bytes(raw.tobytes() + canonical(values).tobytes())
        index["decode"][name.lower()] = int(values.size)
    for name in ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]:
        values, raw = encoding(name)
        (here / "encode" / f"{name.lower()}.bin").write_bytes(values.tobytes() + raw.tobytes())
        index["encode"][name.lower()] = int(values.size)
    (here / "index.json").write_text(json.dumps(index, indent=2) + "\n")
    (here / "digests.json").write_text(json.dumps({name.lower(): digest(name) for name in SMALL}, indent=2) + "\n")
