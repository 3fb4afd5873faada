"""What lm-evaluation-harness asks and how it scores: test/vectors/eval/*.json, by its own task files and functions.

    pip install lm_eval==0.4.13 datasets jinja2 pyyaml evaluate more_itertools pytablewriter rouge-score sacrebleu scikit-learn sqlitedict word2number
    python make_eval_vectors.py FOLDER_OF_DATA

Of each task the first 20 rows of our data, as they are (`rows`), are made what the data set on the Hub has; lm-evaluation-harness's templates
then make (context, continuation) pairs of it, without shots and with the two first others of the 20 in front (`shots`), joined by its own
few-shot code: of the first 4 rows, for the files' size. Log-likelihoods are drawn at random; `scores` is what it makes of them.
"""
import importlib.util
import json
import random
import sys
from pathlib import Path

import lm_eval
import yaml
from lm_eval.api.task import ConfigurableTask

here = Path(__file__).resolve().parent.parent / "vectors" / "eval"
folder = Path(lm_eval.__file__).parent / "tasks"
ROWS, SHOTS, WITH_SHOTS = 20, 2, 4


def labelled(row):
    return [chr(65 + i) for i in range(len(row["choices"]))]


def arc(row):
    return {
        "question": row["query"].removeprefix("Question: "),
        "choices": {"text": row["choices"], "label": labelled(row)},
        "answerKey": labelled(row)[row["gold"]],
    }


def piqa(row):
    goal = row["query"].removeprefix("Question: ").removesuffix("\n")
    return {"goal": goal, "sol1": row["choices"][0], "sol2": row["choices"][1], "label": row["gold"]}


def winogrande(row):
    first, second = row["context_options"]
    # The beginning that both have, up to the last word that is the same.
    end = 0
    while end < min(len(first), len(second)) and first[end] == second[end]:
        end += 1
    end = first.rfind(" ", 0, end) + 1
    return {
        "sentence": f"{first[:end]}_ {row['continuation']}",
        **{"option1": first[end:], "option2": second[end:], "answer": str(row["gold"] + 1)},
    }


def boolq(row):
    passage, question = row["query"].removeprefix("Passage: ").split("\nQuestion: ")
    return {"passage": passage, "question": question.removesuffix("?"), "label": row["gold"]}


def lambada(row):
    return {"text": f"{row['context']} {row['continuation']}"}


def hellaswag(row):
    label, context = row["query"].split(": ", 1)
    first, _, rest = context.rpartition(". ")
    # `capitalize` makes the rest small letters: where ours are others, all of it is the first part.
    if first == "" or rest.capitalize() != rest:
        first, rest = context, ""
        document = {"activity_label": label, "ctx_a": first, "ctx_b": rest}
    else:
        document = {"activity_label": label, "ctx_a": f"{first}.", "ctx_b": rest}
    # A space in front is what a mark such as [substeps] left.
    endings = [f"[substeps]{ending}" if ending.startswith(" ") else ending for ending in row["choices"]]
    return {**document, "endings": endings, "label": str(row["gold"])}


tasks = {
    "piqa": ("piqa/piqa.yaml", "commonsense/piqa.jsonl", piqa),
    "hellaswag": ("hellaswag/hellaswag.yaml", "commonsense/hellaswag_val_1000.jsonl", hellaswag),
    "arc_easy": ("arc/arc_easy.yaml", "commonsense/arc-easy.jsonl", arc),
    "arc_challenge": ("arc/arc_challenge.yaml", "commonsense/arc-challenge.jsonl", arc),
    "winogrande": ("winogrande/default.yaml", "commonsense/winogrande.jsonl", winogrande),
    "boolq": ("super_glue/boolq/default.yaml", "commonsense/boolq.jsonl", boolq),
    "lambada_openai": ("lambada/lambada_openai.yaml", "commonsense/lambada_openai.jsonl", lambada),
}


def read_config(path):
    """As the harness reads it: `include`, and functions of a module beside the file."""

    class Loader(yaml.SafeLoader):
        pass

    def function(_, node):
        module, name = node.value.rsplit(".", 1)
        spec = importlib.util.spec_from_file_location(module, path.parent / f"{module}.py")
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return getattr(loaded, name)

    Loader.add_constructor("!function", function)
    config = yaml.load(path.read_text(), Loader)
    included = config.pop("include", None)
    return {**read_config(path.parent / included), **config} if included else config


def make_task(config, documents):
    """A task whose documents are ours: nothing is downloaded."""
    import datasets

    split = config.get("test_split") or config["validation_split"]
    config = {**config, "test_split": split, "training_split": None, "validation_split": None, "fewshot_split": split}
    config = {**config, "fewshot_config": {"sampler": "first_n", "split": split}}
    config = {key: value for key, value in config.items() if key != "tag"}

    class Ours(ConfigurableTask):
        def download(self, *_, **__):
            data = datasets.Dataset.from_list(documents)
            self.dataset = datasets.DatasetDict({split: data})

    return Ours(config=config)


def pairs(task, document, shots):
    context = task.fewshot_context(document, shots)
    requests = task.construct_requests(document, context, metadata=("", 0, 1))
    requests = requests if isinstance(requests, list) else [requests]
    return [list(request.args) for request in requests]


if __name__ == "__main__":
    data = Path(sys.argv[1])
    here.mkdir(exist_ok=True)
    draw = random.Random(15)
    for name, (config, file, upstream) in tasks.items():
        rows = [json.loads(line) for line in (data / file).read_text().split("\n")[:ROWS]]
        task = make_task(read_config(folder / config), [upstream(row) for row in rows])
        documents = list(task.test_docs())
        questions = []
        for at, (row, document) in enumerate(zip(rows, documents, strict=True)):
            asked = pairs(task, document, 0)
            logprobs = [-20 * draw.random() for _ in asked]
            greedy = draw.random() < 0.5
            scores = task.process_results(document, [(value, greedy) for value in logprobs])
            question = {"row": row, "pairs": asked, "logprobs": logprobs, "greedy": greedy}
            question["scores"] = {metric: float(score) for metric, score in scores.items()}
            if at < WITH_SHOTS:
                question["shots"] = pairs(task, document, SHOTS)
            questions.append(question)
        errors = {
            metric: lm_eval.api.metrics.mean_stderr([question["scores"][metric] for question in questions])
            for metric in questions[0]["scores"]
            if metric != "perplexity"
        }
        text = json.dumps({"task": name, "questions": questions, "errors": errors}, ensure_ascii=False, indent=1)
        (here / f"{name}.json").write_text(f"{text}\n")
        print(name, len(text))
