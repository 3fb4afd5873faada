"""What lm-evaluation-harness makes of our data's questions, with a model of transformers or behind a server: for bench/evaluation.mjs.

usage: python lm_eval_scores.py '{"backend": "hf", "model": FOLDER, "data": FOLDER, "tasks": ["piqa"], "limit": 200, "threads": 2, "batch": 16}'
backend: hf (weights as float32 on the processor; `gguf` names a file in FOLDER that is decoded), local-completions or gguf (`url` of a server,
`model` the tokenizer's folder). Prints a line of JSON a task: {"task", "seconds", "results", "logprobs": of each question its choices',
"versions"}. Packages: bench/README.md.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "oracles"))
from lm_eval.evaluator import evaluate  # noqa: E402
from make_eval_vectors import open_task  # noqa: E402

o = json.loads(sys.argv[1])


def open_model():
    if o["backend"] == "hf":
        import torch
        from lm_eval.models.huggingface import HFLM

        torch.set_num_threads(o["threads"])
        return HFLM(pretrained=o["model"], gguf_file=o.get("gguf"), dtype="float32", device="cpu", batch_size=o["batch"])
    if o["backend"] == "gguf":
        from lm_eval.models.gguf import GGUFLM

        return GGUFLM(base_url=o["url"])
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    with urlopen(f"{o['url']}/v1/models") as answer:
        served = json.load(answer)["data"][0]["id"]
    return LocalCompletionsAPI(base_url=f"{o['url']}/v1/completions", model=served, tokenizer=o["model"], batch_size=o["batch"])


model = open_model()
versions = f"{version('lm_eval')} with transformers {version('transformers')} and PyTorch {version('torch')}"
for name in o["tasks"]:
    task = open_task(name, Path(o["data"]), o["limit"])
    began = time.perf_counter()
    found = evaluate(model, {name: task}, limit=o["limit"], bootstrap_iters=0)
    seconds = time.perf_counter() - began
    results = {key.removesuffix(",none"): value for key, value in found["results"][name].items() if isinstance(value, float)}
    logprobs = [[response[0][0] for response in sample["resps"]] for sample in found["samples"][name]]
    print(json.dumps({"task": name, "seconds": seconds, "results": results, "logprobs": logprobs, "versions": versions}), flush=True)
