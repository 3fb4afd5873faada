"""Small Parquet files of the shapes that datasets of questions have, and their rows as pyarrow reads them.

python3 test/oracles/make_parquet_vectors.py test/vectors/eval/parquet   (pyarrow 26)
"""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)

text = pa.string()
choices = pa.struct([("text", pa.list_(text)), ("label", pa.list_(text))])
schema = pa.schema([
    ("id", text),
    ("question", text),
    ("choices", choices),
    ("endings", pa.list_(text)),
    ("answerKey", text),
    ("label", pa.int64()),
    ("small", pa.int32()),
    ("unsigned", pa.uint8()),
    ("share", pa.float64()),
    ("half", pa.float32()),
    ("yes", pa.bool_()),
    ("idx", pa.struct([("paragraph", pa.int32()), ("question", pa.int32())])),
    ("answers", pa.list_(pa.struct([("start", pa.int32()), ("text", text)]))),
    ("nested", pa.list_(pa.list_(pa.int64()))),
])

words = ["", "two\nlines", "ñandú", "日本語", "🦜 parrot", "quotes \" and 'these'", "x" * 300]


def row(i):
    n = i % 5
    return {
        "id": f"Q{i}",
        "question": None if i % 7 == 3 else words[i % 7],
        "choices": None if i % 11 == 5 else {"text": [words[(i + k) % 7] for k in range(n)], "label": list("ABCD")[:n]},
        "endings": [words[(i + k) % 7] if k != 2 else None for k in range(n)],
        "answerKey": "ABCD"[i % 4],
        "label": i % 2 if i % 13 else -(2**53) + 1,
        "small": -i,
        "unsigned": 200 + i % 50,
        "share": i / 7,
        "half": i / 4,
        "yes": i % 3 == 0,
        "idx": {"paragraph": i // 4, "question": None if i % 6 == 1 else i},
        "answers": None if i % 9 == 2 else [{"start": k * i, "text": words[k]} for k in range(i % 3)],
        "nested": [[i, k] if k else [] for k in range(n)],
    }


rows = [row(i) for i in range(24)]
table = pa.Table.from_pylist(rows, schema)
assert table.to_pylist() == rows
(folder / "rows.json").write_text(json.dumps(rows, ensure_ascii=False))
same = {"use_dictionary": True, "row_group_size": 10}
pq.write_table(table, folder / "snappy.parquet", compression="snappy", **same)
pq.write_table(table, folder / "zstd.parquet", compression="zstd", data_page_version="2.0", **same)
pq.write_table(table, folder / "gzip.parquet", compression="gzip", use_dictionary=False, row_group_size=40)
pq.write_table(table, folder / "plain.parquet", compression="none", use_dictionary=False, data_page_size=512, row_group_size=20)
