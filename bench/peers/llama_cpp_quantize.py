"""llama.cpp's own quantizer, by its library's C interface, for bench/quantization.mjs. Standard library only.

usage: python llama_cpp_quantize.py FOLDER_OF_LIBLLAMA SOURCE OUT FILE_TYPE THREADS IMPORTANCE
IMPORTANCE: for each matrix a line of JSON {"name", "values"}, then as many float32, little-endian; the mean square of each column.
"""

import ctypes
import json
import sys
from pathlib import Path


class Params(ctypes.Structure):
    _fields_ = [("threads", ctypes.c_int32), ("file_type", ctypes.c_int), ("output", ctypes.c_int), ("embedding", ctypes.c_int),
                ("requantize", ctypes.c_bool), ("quantize_output", ctypes.c_bool), ("only_copy", ctypes.c_bool), ("pure", ctypes.c_bool),
                ("keep_split", ctypes.c_bool), ("dry_run", ctypes.c_bool), ("importance", ctypes.c_void_p), ("overrides", ctypes.c_void_p),
                ("tensors", ctypes.c_void_p), ("prune", ctypes.c_void_p), ("room", ctypes.c_char * 64)]


class Entry(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.c_void_p), ("size", ctypes.c_size_t)]


def read_importance(path):
    with open(path, "rb") as file:
        while line := file.readline():
            head = json.loads(line)
            count = head["values"]
            yield head["name"].encode(), (ctypes.c_float * count).from_buffer_copy(file.read(4 * count))


folder, source, out, file_type, threads, importance = sys.argv[1:7]
folder = Path(folder)
# Each finds the ones before it already loaded, wherever the folder stands.
for pattern in ("libggml-base.*", "libggml.*"):
    for path in folder.glob(pattern):
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
llama = ctypes.CDLL(str(next(folder.glob("libllama.*"))))
llama.llama_model_quantize_default_params.restype = Params
quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda level, text, _: None)
llama.llama_log_set(quiet, None)
known = list(read_importance(importance))
entries = (Entry * (len(known) + 1))(*[Entry(name, ctypes.addressof(values), len(values)) for name, values in known])
params = llama.llama_model_quantize_default_params()
params.threads, params.file_type, params.requantize = int(threads), int(file_type), True
params.importance = ctypes.addressof(entries)
sys.exit(llama.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(params)))
