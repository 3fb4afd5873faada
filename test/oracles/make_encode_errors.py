"""What ggml's own encoders lose: test/vectors/tensor-types/encode-errors.json. By type and kind of rows, the root mean square error,
relative to that of the values; `plain` without importance, `weighted` with it, both sides of the fraction weighed by it.

    python make_encode_errors.py LIBGGML_BASE

Rows and importance are drawn from a generator that src/tensor/row-encoder.test.ts has too.
"""
import ctypes
import json
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as T, quants
from gguf.constants import GGML_QUANT_SIZES

here = Path(__file__).resolve().parent.parent / "vectors" / "tensor-types"
TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "IQ3_S", "IQ3_XXS", "IQ2_S",
         "IQ2_XS", "IQ2_XXS", "IQ1_S", "IQ1_M", "TQ1_0", "TQ2_0", "MXFP4"]
ROWS, COLUMNS = 4, 1024


def generator(seed):
    """xorshift32 in [0, 1): the same numbers in any language."""
    state = seed
    while True:
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        yield state / 2**32


def rows():
    uniform = generator(1234567)
    draw = lambda: next(uniform)
    twelve = lambda: sum(draw() for _ in range(12)) - 6
    count = ROWS * COLUMNS
    normal = [twelve() for _ in range(count)]
    flat = [draw() * 2 - 1 for _ in range(count)]
    heavy = [twelve() ** 3 for _ in range(count)]
    shifted = [3 + 0.5 * (draw() + draw()) for _ in range(count)]
    importance = [(0.1 + draw()) ** 4 for _ in range(COLUMNS)]
    kinds = {"normal": normal, "uniform": flat, "heavy": heavy, "shifted": shifted}
    return {k: np.array(v, dtype=np.float32) for k, v in kinds.items()}, np.array(importance, dtype=np.float32)


def loss(ggml, name, values, importance, weight):
    pointer = lambda a: a.ctypes.data_as(ctypes.c_void_p) if a is not None else None
    raw = np.zeros(values.size // GGML_QUANT_SIZES[T[name]][0] * GGML_QUANT_SIZES[T[name]][1], dtype=np.uint8)
    ggml.ggml_quantize_chunk(T[name].value, pointer(values), pointer(raw), ctypes.c_int64(0), ctypes.c_int64(ROWS),
                             ctypes.c_int64(COLUMNS), pointer(importance))
    back = quants.dequantize(raw[None], T[name])[0].astype(np.float64).reshape(ROWS, COLUMNS)
    exact = values.astype(np.float64).reshape(ROWS, COLUMNS)
    return float(np.sqrt(np.sum(weight * (back - exact) ** 2) / np.sum(weight * exact**2)))


if __name__ == "__main__":
    ggml = ctypes.CDLL(sys.argv[1])
    kinds, importance = rows()
    errors = {}
    for name in TYPES:
        for kind, values in kinds.items():
            # Some of ggml's encoders refuse to work without importance.
            needed = ggml.ggml_quantize_requires_imatrix(T[name].value)
            plain = None if needed else loss(ggml, name, values, None, np.ones(COLUMNS))
            weighted = loss(ggml, name, values, importance, importance.astype(np.float64))
            errors.setdefault(name.lower(), {})[kind] = {"plain": plain, "weighted": weighted}
    (here / "encode-errors.json").write_text(json.dumps(errors, indent=1) + "\n")
