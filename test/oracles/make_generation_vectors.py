"""What lm-evaluation-harness asks and makes of answers in words: test/vectors/eval/generation/*.json, by its own task files and functions.

    pip install (as make_eval_vectors.py) nltk langdetect immutabledict
    python make_generation_vectors.py FOLDER_OF_DATA

`prompts.json`: of the first questions of each task (of each part of BIG-Bench Hard the first) the SHA-256 of the prompt, from the data
themselves. `answers.json`: 1,000 answers to GSM8K's and BIG-Bench Hard's kind of question, made up here (right, wrong, malformed), with
what its filters take of each and how it scores that.
"""
import hashlib
import json
import random
import sys
from pathlib import Path

import datasets
import evaluate
import lm_eval
from lm_eval.api.metrics import exact_match_fn
from lm_eval.api.task import ConfigurableTask
from lm_eval.filters.extraction import RegexFilter
from make_eval_vectors import read_config

here = Path(__file__).resolve().parent.parent / "vectors" / "eval" / "generation"
folder = Path(lm_eval.__file__).parent / "tasks"
ANSWERS, ASKED = 1000, 12


def rows_of(path):
    return [json.loads(line) for line in path.read_text().split("\n") if line.strip()]


def make_task(config, splits):
    config = {key: value for key, value in config.items() if key not in ("tag", "unsafe_code")}

    class Ours(ConfigurableTask):
        def download(self, *_, **__):
            self.dataset = datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name, rows in splits.items()})

    return Ours(config=config)


def prompts(config, splits, count):
    """As the harness does it: each question in turn, whose shots are drawn from one generator."""
    task = make_task(config, splits)
    task.set_fewshot_seed(1234)
    shots = config.get("num_fewshot", 0)
    documents = list(task.eval_docs)[:count]
    return [task.fewshot_context(document, shots, gen_prefix=task.doc_to_prefix(document)) for document in documents]


def hashes(texts):
    return [hashlib.sha256(text.encode()).hexdigest() for text in texts]


def number(draw):
    value = draw.choice([draw.randrange(10), draw.randrange(1000), draw.randrange(10**7)])
    shown = draw.choice([f"{value}", f"{value:,}", f"{value}.0", f"{value}.50", f"-{value}", f"${value:,}", f"$-{value}", f"-${value}", f"{value}%"])
    return str(value), draw.choice([shown, shown, shown, f"{shown}.", f" {shown}", f"{shown}\n", f"**{shown}**", f"({shown})", f"{shown} dollars"])


STRANGE = ["", " ", "\n", "####", "#### ", "#### .", "#### ,", "#### -", "#### $5", "#### -5.", "#### 5,", "#### ٣", "#### ５", "####5", "#### 1e5", "#### 1/2",
           "#### 5\r", "#### 5\u2028", "The answer is", "The answer is .", "The answer is 5", "The answer is -5.", "the answer is 5.", "$", "$$", "..", "-", "--5", "5-",
           "1,,2", "1.2.3", "$.,", "٣٤", "½", "twelve", "5\u00a0000", "−5", "#### −5", "So 3 + 4 = 7\n#### 7\n#### 8", "#### 7 #### 8", "A\n\nB 5", "[invalid]",
           "the answer is", "the answer is ", "the answer is a", "the answer is (A).", "the answer is (A)", "So the answer is (A).\nSo the answer is (B).",
           "the answer is the answer is (A).", "the answer is valid.", "the answer is\n(A).", "the answer is (A).\r", "the answer is (A)\u2028.", "the answer is  (A) ."]


def sums(draw):
    """An answer and the right one, as GSM8K has them."""
    right, shown = number(draw)
    wrong, other = number(draw)
    said = draw.choice([shown, shown, other])
    text = draw.choice(
        [
            f" First there are {other}, then {wrong} more: <<{wrong}+1={right}>>{right}.\n#### {said}",
            f" {draw.randrange(99)} + {draw.randrange(99)} = {said}\n#### {said}",
            f" So there are {other}. The answer is {said}.",
            f" The answer is {said}",
            f"#### {said}\n\nIt costs {other}.",
            f" It is {said}, I think, or {other}.",
            f"{said}",
            f" There are {other} and {shown}, so {said} in all. The answer is {said}. The answer is {other}.",
            f" I do not know.",
            draw.choice(STRANGE),
        ]
    )
    reference = draw.choice([f"He has {wrong} - {wrong} = 0.\nSo it is {right}.\n#### {right}", f"#### {int(right):,}", f"{right}\n#### -{right}"])
    return text, reference


def choices(draw):
    """The same as BIG-Bench Hard has them."""
    options = ["(A)", "(B)", "(F)", "True", "False", "Yes", "No", "yes", "valid", "invalid", "-219", "8", "} ] >", "beta cab dog", "naïve"]
    right, other = draw.choice(options), draw.choice(options)
    said = draw.choice([right, right, other])
    text = draw.choice(
        [
            f"We look at {other}. So the answer is {said}.",
            f"So the answer is {said}",
            f"So the answer is {said}. ",
            f"So the answer is {said}.\nThe answer is {other}.",
            f"the answer is {said}.The answer is",
            f"The answer is {said}.",
            f"So the answer is  {said} .",
            f"{said}.",
            draw.choice(STRANGE),
        ]
    )
    return text, right


def scored(config, pairs):
    metric = {key: value for key, value in config["metric_list"][0].items() if key not in ("metric", "aggregation", "higher_is_better")}
    rows = []
    for text, reference in pairs:
        taken, scores = [], []
        for way in config["filter_list"]:
            options = {key: value for key, value in way["filter"][0].items() if key != "function"}
            [[found]] = RegexFilter(**options).apply([[text]], [{}])
            taken.append(found)
            scores.append(int(exact_match_fn(references=[reference], predictions=[found], **metric)["exact_match"]))
        rows.append([text, reference, taken, scores])
    return rows


def write(name, value):
    here.mkdir(parents=True, exist_ok=True)
    # A row a line.
    lines = ",\n".join(f"{json.dumps(key)}: " + ("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]" if isinstance(rows, list) else json.dumps(rows, ensure_ascii=False)) for key, rows in value.items())
    (here / f"{name}.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    data = Path(sys.argv[1])
    draw = random.Random(15)
    gsm8k, cot = (read_config(folder / "gsm8k" / f"{name}.yaml") for name in ("gsm8k", "gsm8k-cot"))
    splits = {split: rows_of(data / f"gsm8k/{split}.jsonl") for split in ("train", "test")}
    asked = {
        "gsm8k": hashes(prompts(gsm8k, splits, ASKED)),
        "gsm8k_cot": hashes(prompts(cot, splits, ASKED)),
    }
    bbh = []
    for path in sorted((folder / "bbh/cot_fewshot").glob("*.yaml")):
        if not path.name.startswith("_"):
            rows = json.loads((data / f"bbh/bbh/{path.stem}.json").read_text())["examples"]
            bbh += hashes(prompts(read_config(path), {"test": rows}, 1))
    asked["bbh_cot_fewshot"] = bbh

    class Unasked:
        """In place of code_eval, which their modules load from the Hub: prompts do without."""

        def compute(self, **_):
            return [{"pass@1": 0.0}]

    evaluate.load = lambda *_: Unasked()
    for name in ("humaneval", "humaneval_instruct"):
        config = {**read_config(folder / f"humaneval/{name}.yaml"), "filter_list": None}
        asked[name] = hashes(prompts(config, {"test": rows_of(data / "humaneval/HumanEval.jsonl")}, ASKED))
    test = rows_of(data / "mbpp/mbpp.jsonl")[10:510]
    config = read_config(folder / "mbpp/mbpp.yaml")
    config["fewshot_config"]["samples"] = config["fewshot_config"]["samples"]()
    asked["mbpp"] = hashes(prompts(config, {"test": test}, ASKED))
    write("prompts", asked)
    template = read_config(folder / "bbh/cot_fewshot/snarks.yaml")
    write(
        "answers",
        {
            "gsm8k": scored(gsm8k, [sums(draw) for _ in range(ANSWERS)]),
            "gsm8k_cot": scored(cot, [sums(draw) for _ in range(ANSWERS)]),
            "bbh_cot_fewshot": scored(template, [choices(draw) for _ in range(ANSWERS)]),
        },
    )
