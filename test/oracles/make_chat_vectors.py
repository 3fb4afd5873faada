"""What lm-evaluation-harness asks by a chat template (apply_chat_template): test/vectors/eval/chat.json, by its own task files and functions.

    pip install (as make_eval_vectors.py and make_generation_vectors.py)
    python make_chat_vectors.py FOLDER_OF_DATA

A template of ChatML that trims nothing writes the first question of some tasks, with shots and without: the context and the continuations.
Questions that are scored are those of test/vectors/eval; questions that are answered in words are those of the data, and of these the
context's SHA-256 is kept.
"""
import json
import sys
from functools import partial
from pathlib import Path

import jinja2
from make_eval_vectors import folder, here, make_task, mmlu, read_config, tasks
from make_generation_vectors import hashes, make_task as make_words, rows_of

TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nBe of help.<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
compiled = jinja2.Environment().from_string(TEMPLATE)


def template(messages, add_generation_prompt):
    """As the harness asks its tokenizers: without a generation prompt the last message goes on (continue_final_message)."""
    if add_generation_prompt:
        return compiled.render(messages=messages, add_generation_prompt=True)
    mark = "\x00"
    messages = [*messages[:-1], {**messages[-1], "content": messages[-1]["content"] + mark}]
    return compiled.render(messages=messages, add_generation_prompt=False).split(mark)[0]


def asked(task, document, shots, gen_prefix=None):
    chat = dict(apply_chat_template=True, chat_template=template)
    context = task.fewshot_context(document, shots, gen_prefix=gen_prefix, **chat)
    requests = task.construct_requests(document, context, metadata=("", 0, 1), **chat)
    requests = requests if isinstance(requests, list) else [requests]
    return [list(request.args[:2]) for request in requests]


def scored(name, shots):
    vector = json.loads((here / f"{name}.json").read_text())
    config, file, upstream = tasks[name]
    rows = [json.loads(line) for line in vector["files"][file].split("\n") if line]
    task = make_task(read_config(folder / config), [upstream(row) for row in rows])
    return asked(task, task.test_docs()[0], shots)


def subject(name, shots):
    import csv
    import io

    files = json.loads((here / "mmlu.json").read_text())["files"]
    rows = lambda kind: [mmlu(row) for row in csv.reader(io.StringIO(files[f"mmlu/{kind}/{name}_{kind}.csv"], newline=""))]
    task = make_task(read_config(folder / "mmlu/default" / f"mmlu_{name}.yaml"), rows("test"), rows("dev"))
    return asked(task, task.test_docs()[0], shots)


def in_words(config, splits, shots):
    task = make_words({**config, "filter_list": None}, splits)
    task.set_fewshot_seed(1234)
    document = list(task.eval_docs)[0]
    [[context, _]] = asked(task, document, shots, task.doc_to_prefix(document))
    return hashes([context])[0]


if __name__ == "__main__":
    import evaluate

    evaluate.load = lambda *_: type("Unasked", (), {"compute": lambda *_, **__: [{"pass@1": 0.0}]})()
    data = Path(sys.argv[1])
    pairs = {f"{name} {shots}": scored(name, shots) for name in ("piqa", "winogrande", "lambada_openai") for shots in (0, 2)}
    pairs.update({f"mmlu {shots}": subject("abstract_algebra", shots) for shots in (0, 1)})
    gsm8k = read_config(folder / "gsm8k/gsm8k.yaml")
    splits = {split: rows_of(data / f"gsm8k/{split}.jsonl") for split in ("train", "test")}
    words = {"gsm8k 0": in_words(gsm8k, splits, 0), "gsm8k 5": in_words(gsm8k, splits, 5)}
    snarks = json.loads((data / "bbh/bbh/boolean_expressions.json").read_text())["examples"]
    words["bbh_cot_fewshot 3"] = in_words(read_config(folder / "bbh/cot_fewshot/boolean_expressions.yaml"), {"test": snarks}, 3)
    rows = rows_of(data / "humaneval/HumanEval.jsonl")
    words["humaneval_instruct 0"] = in_words(read_config(folder / "humaneval/humaneval_instruct.yaml"), {"test": rows}, 0)
    ifeval = read_config(folder / "ifeval/ifeval.yaml")
    words["ifeval 0"] = in_words(ifeval, {"train": rows_of(data / "ifeval/input_data.jsonl")}, 0)
    text = json.dumps({"template": TEMPLATE, "pairs": pairs, "words": words}, ensure_ascii=False, indent=1)
    (here / "chat.json").write_text(f"{text}\n")
