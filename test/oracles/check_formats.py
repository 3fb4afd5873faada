"""
Checks that files written by grok1 are read by the Python packages `gguf` and `safetensors` as what they are.

    npm run build
    pip install numpy gguf==0.19.0 safetensors==0.8.0
    python test/oracles/check_formats.py
"""

import json
import subprocess
import tempfile
from pathlib import Path

from gguf import GGUFReader
from safetensors import safe_open

script = Path(__file__).with_name("write_format_samples.mjs")

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    subprocess.run(["node", script, folder], check=True)
    expected = json.loads((folder / "expected.json").read_text())

    reader = GGUFReader(folder / "sample.gguf")
    assert reader.alignment == 64
    for key, value in expected["metadata"].items():
        found = reader.fields[key].contents()
        assert found == value, (key, found, value)
    assert len(reader.tensors) == len(expected["gguf"])
    for tensor, wanted in zip(reader.tensors, expected["gguf"]):
        found = {
            "name": tensor.name,
            "ggml": int(tensor.tensor_type),
            "shape": [int(n) for n in reversed(tensor.shape)],
            "hex": tensor.data.tobytes().hex(),
        }
        assert found == wanted, (found, wanted)

    def check(path: Path, wanted: dict) -> None:
        with safe_open(path, framework="np") as file:
            for key in file.keys():
                array, entry = file.get_tensor(key), wanted.pop(key)
                assert list(array.shape) == entry["shape"] and array.tobytes().hex() == entry["hex"], key

    wanted = {entry["name"]: entry for entry in expected["safetensors"]}
    check(folder / "sample.safetensors", wanted)
    assert not wanted
    with safe_open(folder / "sample.safetensors", framework="np") as file:
        assert file.metadata() == {"made": "by grok1", "line": "a\nb"}
    print(f"{len(expected['metadata'])} values, {len(expected['gguf'])} GGUF tensors, {len(expected['safetensors'])} safetensors: all equal")
