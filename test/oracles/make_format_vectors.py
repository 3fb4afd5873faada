"""
Makes test/vectors/formats: small GGUF and safetensors files written by the Python packages `gguf` and `safetensors`,
with what is in them beside them as JSON.

    pip install numpy gguf==0.19.0 safetensors==0.8.0
    python test/oracles/make_format_vectors.py
"""

import json
import struct
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants
from safetensors.numpy import save_file

out = Path(__file__).resolve().parents[1] / "vectors" / "formats"
out.mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(20240317)


def fill(writer: GGUFWriter) -> None:
    writer.add_uint8("test.u8", 255)
    writer.add_int8("test.i8", -128)
    writer.add_uint16("test.u16", 65535)
    writer.add_int16("test.i16", -32768)
    writer.add_uint32("test.u32", 2**32 - 1)
    writer.add_int32("test.i32", -(2**31))
    writer.add_float32("test.f32", 1.5)
    writer.add_bool("test.yes", True)
    writer.add_bool("test.no", False)
    writer.add_string("test.string", "größe 🐉 \u0000 end")
    writer.add_uint64("test.u64", 2**64 - 1)
    writer.add_uint64("test.u64_exact", 2**53 - 1)
    writer.add_int64("test.i64", -(2**63))
    writer.add_float64("test.f64", 0.1)
    writer.add_array("test.strings", ["a", "", "▁grok", "日本語"])
    writer.add_array("test.ints", [1, -2, 3])
    writer.add_array("test.floats", [0.5, -0.25])
    writer.add_array("test.bools", [True, False, True])
    writer.add_key_value("test.u64s", [1, 2**64 - 1], GGUFValueType.ARRAY, sub_type=GGUFValueType.UINT64)
    writer.add_key_value("test.u8s", [0, 128, 255], GGUFValueType.ARRAY, sub_type=GGUFValueType.UINT8)
    # The writer takes nested arrays; token pieces that are not UTF-8 are given as bytes.
    writer.add_array("test.nested", [[1, 2], [3]])
    writer.add_array("test.bytes", [b"ok", b"\xff\xfe", b"\xc3"])


def tensors() -> dict:
    values = lambda *shape: random.standard_normal(shape).astype(np.float32)
    return {
        "norm": (values(5), None),
        "half": (values(3, 7).astype(np.float16), None),
        "stack": (values(2, 3, 32), None),
        "blocks": (quants.quantize(values(4, 64), GGMLQuantizationType.Q8_0), GGMLQuantizationType.Q8_0),
        "counts": (np.arange(-4, 4, dtype=np.int32), None),
    }


def write_gguf(name: str, alignment: int | None) -> None:
    writer = GGUFWriter(out / name, "test")
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    fill(writer)
    for tensor, (values, kind) in tensors().items():
        writer.add_tensor(tensor, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_split() -> None:
    writer = GGUFWriter(out / "split.gguf", "test", split_max_tensors=2)
    writer.add_string("test.string", "of all")
    for tensor, (values, kind) in tensors().items():
        writer.add_tensor(tensor, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def describe(path: Path) -> list:
    """What the package's own reader finds in a file: each tensor's name, type, shape (outermost first) and bytes."""
    return [
        {"name": t.name, "ggml": int(t.tensor_type), "shape": [int(n) for n in reversed(t.shape)], "hex": t.data.tobytes().hex()}
        for t in GGUFReader(path).tensors
    ]


def write_safetensors() -> None:
    everything = {
        "f32": random.standard_normal((2, 3)).astype(np.float32),
        "f64": random.standard_normal(3),
        "f16": np.array([0, -0.0, 1, -2.5, 65504, 6e-8, np.inf, -np.inf, np.nan], dtype=np.float16),
        "i8": np.array([-128, 127], dtype=np.int8),
        "i16": np.array([-32768, 32767], dtype=np.int16),
        "i32": np.array([[-(2**31)], [2**31 - 1]], dtype=np.int32),
        "i64": np.array([-(2**63), 2**63 - 1], dtype=np.int64),
        "u8": np.array([0, 255], dtype=np.uint8),
        "u16": np.array([0, 65535], dtype=np.uint16),
        "u32": np.array([0, 2**32 - 1], dtype=np.uint32),
        "u64": np.array([0, 2**64 - 1], dtype=np.uint64),
        "bool": np.array([True, False, True]),
        "scalar": np.array(1.25, dtype=np.float32),
        "empty": np.zeros((0, 4), dtype=np.float32),
        "größe \"quoted\"": np.ones(1, dtype=np.float32),
    }
    save_file(everything, out / "all.safetensors", metadata={"made": "by the safetensors package", "line": "a\nb"})
    values = {
        name: {
            "dtype": str(a.dtype),
            "shape": list(a.shape),
            "hex": a.tobytes().hex(),
            "values": [str(x.item()) for x in a.astype(np.float64 if a.dtype.kind == "f" else a.dtype).ravel()],
        }
        for name, a in everything.items()
    }
    (out / "all.safetensors.json").write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")

    parts = [{"a": everything["f32"], "b": everything["i8"]}, {"c": everything["f64"]}]
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name, part in zip(names, parts):
        save_file(part, out / name)
    index = {"metadata": {"total_size": 50}, "weight_map": {k: n for n, p in zip(names, parts) for k in p}}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


write_gguf("all.gguf", None)
write_gguf("aligned.gguf", 64)
# Version 2 has the same layout as version 3; only the number differs.
version2 = bytearray((out / "all.gguf").read_bytes())
struct.pack_into("<I", version2, 4, 2)
(out / "version2.gguf").write_bytes(version2)
write_split()
found = {path.name: describe(path) for path in sorted(out.glob("*.gguf"))}
(out / "gguf.json").write_text(json.dumps(found, indent=1) + "\n")
write_safetensors()
