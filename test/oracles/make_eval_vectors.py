"""What lm-evaluation-harness asks and how it scores: test/vectors/eval/*.json, by its own task files and functions.

    pip install lm_eval==0.4.13 datasets jinja2 pyyaml evaluate more_itertools pytablewriter rouge-score sacrebleu scikit-learn sqlitedict word2number transformers
    python make_eval_vectors.py FOLDER_OF_DATA

Of each task the first 20 rows of our data, as they are (`files`), are made what the data set on the Hub has; lm-evaluation-harness's templates
then make contexts and continuations of it, without shots and with answered questions in front (`shots`, of the first 4 rows, for the files'
size): the two first others of the 20, or of MMLU the first of its examples. Log-likelihoods are drawn at random; `scores` is what it makes of
them, `figures` its metrics over all, `errors` its standard errors. Rows of data that may not be passed on are made up here.
"""
import csv
import hashlib
import importlib.util
import io
import json
import random
import sys
from pathlib import Path

import lm_eval
import yaml
from lm_eval.api.task import ConfigurableTask
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

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


def wsc273(row):
    upstream = winogrande(row)
    before, _ = upstream["sentence"].split("_ ", 1)
    options = [upstream["option1"], upstream["option2"]]
    text = f"{before}they {row['continuation']}"
    return {"text": text, "pronoun": "they", "pronoun_loc": len(before), "options": options, "label": row["gold"]}


def openbookqa(row):
    return {"question_stem": row["query"], "choices": {"text": row["choices"], "label": labelled(row)}, "answerKey": labelled(row)[row["gold"]]}


def truthfulqa(row):
    right, wrong = ([part.strip() for part in row[f"{kind} Answers"].split(";") if part.strip()] for kind in ("Correct", "Incorrect"))
    first = {"choices": [row["Best Answer"], *wrong], "labels": [1] + [0] * len(wrong)}
    every = {"choices": [*right, *wrong], "labels": [1] * len(right) + [0] * len(wrong)}
    return {"question": row["Question"], "mc1_targets": first, "mc2_targets": every}


def mmlu(row):
    question, *choices, answer = row
    return {"question": question, "choices": choices, "answer": "ABCD".index(answer)}


def cola(row):
    return {"sentence": row[3], "label": int(row[1])}


def as_it_is(row):
    return row


def pages(text):
    """As the data set EleutherAI/wikitext_document_level makes documents of the file."""
    lines = []
    for line in text.split("\n"):
        heading = line.replace("= = =", "===").replace("= =", "==").strip()
        if heading.startswith("= ") and heading.endswith(" ="):
            if "\n".join(lines).strip():
                yield "\n".join(lines)
            lines = []
        lines.append(line)
    yield "\n".join(lines)


def make_up(draw, **fields):
    """A row of nobody's: sentences with what goes wrong at edges."""
    words = ["the", "cat", "Zoë's", "\"old\"", "house", "3,5", "—", "it 's", "{{x}}", "sat", "not", "?", "naïve", "\\n", "a"]
    text = lambda: draw.choice(["", "", " "]) + " ".join(draw.choices(words, k=draw.randint(3, 9))) + draw.choice([".", " . ", "", " "])
    return {key: draw.randrange(value) if isinstance(value, int) else text() for key, value in fields.items()}


def wic(draw):
    row = make_up(draw, sentence1=str, sentence2=str, label=2)
    start = draw.randrange(len(row["sentence1"]))
    return {**row, "start1": start, "end1": draw.randint(start, len(row["sentence1"]))}


def wsc(draw):
    words = ["Mark", "told", "Ñandú", ",", "\"", "do", "n't", "(", "it", ")", "'s", "he", ".", "Pete", " ", "said"]
    text = " ".join(draw.choices(words, k=draw.randint(6, 14)))
    at = draw.randrange(len(text.split()))
    return {"text": text, "span1_text": draw.choice(words[:3]), "span2_index": at, "span2_text": text.split()[at], "label": draw.randrange(2)}


def record(draw):
    names = draw.sample(["The U.S.", "U.S.", "Zoë", "ana", "Ana Ñ", "a bank", "Bank", "The Bank of Ana"], k=draw.randint(3, 6))
    lines = [make_up(draw, text=str)["text"] for _ in range(draw.randint(1, 4))]
    passage = "\n@highlight\n".join(lines)
    query = f"{make_up(draw, text=str)['text']} @placeholder said @placeholder"
    answers = draw.sample(names, k=draw.randint(1, 2))
    return {"passage": passage, "query": query, "entities": names + names[:1], "answers": answers + answers[:1]}


made_up = {
    "mnli_mismatch": dict(premise=str, hypothesis=str, label=3),
    "mnli": dict(premise=str, hypothesis=str, label=3),
    "qnli": dict(question=str, sentence=str, label=2),
    "qqp": dict(question1=str, question2=str, label=2),
    "wnli": dict(sentence1=str, sentence2=str, label=2),
    "multirc": dict(paragraph=str, question=str, answer=str, label=2),
    "wic": wic,
    "wsc": wsc,
    "record": record,
    "cola": dict(sentence=str, label=2),
    "mrpc": dict(sentence1=str, sentence2=str, label=2),
    "rte": dict(sentence1=str, sentence2=str, label=2),
    "sst2": dict(sentence=str, label=2),
    "cb": dict(premise=str, hypothesis=str, label=3),
}

tasks = {
    "piqa": ("piqa/piqa.yaml", "commonsense/piqa.jsonl", piqa),
    "hellaswag": ("hellaswag/hellaswag.yaml", "commonsense/hellaswag_val_1000.jsonl", hellaswag),
    "arc_easy": ("arc/arc_easy.yaml", "commonsense/arc-easy.jsonl", arc),
    "arc_challenge": ("arc/arc_challenge.yaml", "commonsense/arc-challenge.jsonl", arc),
    "winogrande": ("winogrande/default.yaml", "commonsense/winogrande.jsonl", winogrande),
    "boolq": ("super_glue/boolq/default.yaml", "commonsense/boolq.jsonl", boolq),
    "lambada_openai": ("lambada/lambada_openai.yaml", "commonsense/lambada_openai.jsonl", lambada),
    "copa": ("super_glue/copa/default.yaml", "superglue/COPA/val.jsonl", as_it_is),
    "wsc273": ("wsc273/default.yaml", "superglue/WSC/wsc273.jsonl", wsc273),
    "openbookqa": ("openbookqa/openbookqa.yaml", "commonsense/openbookqa.jsonl", openbookqa),
    "truthfulqa_mc1": ("truthfulqa/truthfulqa_mc1.yaml", "truthfulqa/TruthfulQA.csv", truthfulqa),
    "truthfulqa_mc2": ("truthfulqa/truthfulqa_mc2.yaml", "truthfulqa/TruthfulQA.csv", truthfulqa),
    "cola": ("glue/cola/default.yaml", "glue/CoLA/dev_in_domain.tsv", cola),
    "mrpc": ("glue/mrpc/default.yaml", "glue/MRPC/val.jsonl", as_it_is),
    "rte": ("glue/rte/default.yaml", "glue/RTE/val.jsonl", as_it_is),
    "sst2": ("glue/sst2/default.yaml", "glue/SST-2/val.jsonl", as_it_is),
    "cb": ("super_glue/cb/default.yaml", "superglue/CB/val.jsonl", as_it_is),
}


# Those that came later: drawn after all others, which stay as they were.
added = {
    "mnli": ("glue/mnli/default.yaml", "glue/MNLI/val_matched.jsonl", as_it_is),
    "mnli_mismatch": ("glue/mnli/mismatch.yaml", "glue/MNLI/val_mismatched.jsonl", as_it_is),
    "qnli": ("glue/qnli/default.yaml", "glue/QNLI/val.jsonl", as_it_is),
    "qqp": ("glue/qqp/default.yaml", "glue/QQP/val.jsonl", as_it_is),
    "wnli": ("glue/wnli/default.yaml", "glue/WNLI/val.jsonl", as_it_is),
    "multirc": ("super_glue/multirc/default.yaml", "superglue/MultiRC/val.jsonl", as_it_is),
    "record": ("super_glue/record/default.yaml", "superglue/ReCoRD/val.jsonl", as_it_is),
    "wic": ("super_glue/wic/default.yaml", "superglue/WiC/val.jsonl", as_it_is),
    "wsc": ("super_glue/wsc/default.yaml", "superglue/WSC/val.jsonl", as_it_is),
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


def make_task(config, documents, examples=None):
    """A task whose documents are ours: nothing is downloaded. Shots are of `examples`, or else of the documents."""
    import datasets

    split = config.get("test_split") or config["validation_split"]
    # Of its own documents the harness leaves out the one that is asked.
    shown = split if examples is None else "examples"
    config = {**config, "test_split": split, "training_split": None, "validation_split": None, "fewshot_split": shown}
    config = {**config, "fewshot_config": {"sampler": "first_n", "split": shown}}
    config = {key: value for key, value in config.items() if key != "tag"}

    class Ours(ConfigurableTask):
        def download(self, *_, **__):
            data = datasets.Dataset.from_list(documents)
            shots = data if examples is None else datasets.Dataset.from_list(examples)
            self.dataset = datasets.DatasetDict({split: data, "examples": shots})

    return Ours(config=config)


def read_rows(file, count):
    """The first rows of a file, and the text that they stand in."""
    text = file.read_text()
    if file.suffix == ".jsonl":
        lines = text.split("\n")[:count]
        return [json.loads(line) for line in lines if line], "\n".join(lines)
    if file.suffix == ".tsv":
        return [line.split("\t") for line in text.split("\n")[:count] if line], text
    rows = list(csv.reader(io.StringIO(text)))
    if rows[0][0] != "Type":
        return rows[:count], write_csv(rows[:count])
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1 : count + 1]], write_csv(rows[: count + 1])


def write_csv(rows):
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def open_task(name, data, count):
    """The harness's task of that name over the first rows of our data."""
    config, file, upstream = tasks[name]
    return make_task(read_config(folder / config), [upstream(row) for row in read_rows(data / file, count)[0]])


def pairs(task, document, shots):
    """{"contexts", "continuations"}: one of either where all have the same."""
    context = task.fewshot_context(document, shots)
    requests = task.construct_requests(document, context, metadata=("", 0, 1))
    requests = requests if isinstance(requests, list) else [requests]
    contexts, continuations = zip(*(request.args for request in requests), strict=True)
    single = lambda texts: [texts[0]] if len(set(texts)) == 1 else list(texts)
    return {"contexts": single(contexts), "continuations": list(continuations) if len(requests) > 1 and len(set(continuations)) > 1 else [continuations[0]]}


def ask(task, shots, with_shots):
    """Questions, with answers drawn at random and what the harness makes of them."""
    questions, results = [], []
    for at, document in enumerate(task.test_docs()):
        asked = pairs(task, document, 0)
        count = max(len(asked["contexts"]), len(asked["continuations"]))
        logprobs = [round(-20 * draw.random(), 6) for _ in range(count)]
        greedy = draw.random() < 0.5
        scores = task.process_results(document, [(value, greedy) for value in logprobs])
        results.append(scores)
        question = {**asked, "logprobs": logprobs, "greedy": greedy}
        question["scores"] = {metric: float(score) for metric, score in scores.items() if not isinstance(score, tuple)}
        if at < with_shots:
            question["shots"] = pairs(task, document, shots)
        questions.append(question)
    figures = {metric: float(task.aggregation()[metric]([scores[metric] for scores in results])) for metric in results[0]}
    errors = {
        metric: lm_eval.api.metrics.mean_stderr([scores[metric] for scores in results])
        for metric in results[0]
        if metric.startswith("acc") and len(results) > 1
    }
    return {"questions": questions, "figures": figures, "errors": errors}


def write(name, value):
    text = json.dumps({"task": name, **value}, ensure_ascii=False, indent=1)
    (here / f"{name}.json").write_text(f"{text}\n")
    print(name, len(text))


def make_mmlu(data):
    """Two short questions of each subject behind a short example: 57 tasks of the harness's, and its figures of their groups."""
    files, parts, groups = {}, {}, {}
    for path in sorted((folder / "mmlu" / "default").glob("mmlu_*.yaml")):
        config = read_config(path)
        subject = config["dataset_name"]
        short = lambda file, count: sorted(read_rows(data / file, 10**6)[0], key=lambda row: len("".join(row)))[:count]
        names = f"mmlu/test/{subject}_test.csv", f"mmlu/dev/{subject}_dev.csv"
        rows, examples = short(names[0], 2), short(names[1], 1)
        files[names[0]], files[names[1]] = write_csv(rows), write_csv(examples)
        task = make_task(config, [mmlu(row) for row in rows], [mmlu(row) for row in examples])
        parts[subject] = ask(task, 1, 1)
        groups.setdefault(config["tag"].removeprefix("mmlu_").removesuffix("_tasks"), []).append(subject)
    groups["mmlu"] = [subject for group in list(groups.values()) for subject in group]

    def together(subjects):
        sizes = [len(parts[subject]["questions"]) for subject in subjects]
        values = [parts[subject]["figures"]["acc"] for subject in subjects]
        errors = [parts[subject]["errors"]["acc"] for subject in subjects]
        value = lm_eval.api.metrics.aggregate_subtask_metrics(values, sizes, True)
        return {"value": value, "error": float(lm_eval.api.metrics.pooled_sample_stderr(errors, sizes))}

    write("mmlu", {"files": files, "parts": parts, "groups": {name: together(group) for name, group in groups.items()}})


def make_wikitext(data):
    """Beginnings of three articles; of all of them in the whole file, hashes of the cleaned text, words and bytes."""
    config = read_config(folder / "wikitext" / "wikitext.yaml")
    text = (data / "../text/wikitext2/wiki.test.raw").read_text()

    def described(page, whole):
        cleaned = config["doc_to_target"]({"page": page})
        counted = config["process_results"]({"page": page}, (-100.0,))
        hashed = hashlib.sha256(cleaned.encode()).hexdigest()
        return {"text" if whole else "sha256": cleaned if whole else hashed, "words": counted["word_perplexity"][1], "bytes": counted["byte_perplexity"][1]}

    every = list(pages(text))
    short = "\n".join("\n".join(page.split("\n")[:4])[:1500] for page in every[:3]) + "\n"
    questions = [{**described(page, True), "logprob": round(-900 * draw.random(), 6)} for page in pages(short)]
    figures = {}
    for metric in ("word_perplexity", "byte_perplexity", "bits_per_byte"):
        unit = "words" if metric.startswith("word") else "bytes"
        aggregate = lm_eval.api.registry.get_aggregation({"bits_per_byte": "bits_per_byte"}.get(metric, "weighted_perplexity"))
        figures[metric] = float(aggregate([(question["logprob"], question[unit]) for question in questions]))
    windows = [
        {"tokens": count, "read": most, "windows": [[list(a), list(b)] for a, b in map(make_disjoint_window, get_rolling_token_windows(list(range(1, count + 1)), 0, most, 1))]}
        for count, most in [(1, 8), (7, 8), (8, 8), (9, 8), (16, 8), (21, 8), (5, 1)]
    ]
    files = {"../text/wikitext2/wiki.test.raw": short}
    write("wikitext", {"files": files, "questions": questions, "figures": figures, "all": [described(page, False) for page in every], "windows": windows})


def generation(row):
    """A row of truthful_qa's other configuration, which has what the table has."""
    split = lambda kind: [part.strip() for part in row[f"{kind} Answers"].split(";") if part.strip()]
    return {"question": row["Question"], "best_answer": row["Best Answer"], "correct_answers": split("Correct"), "incorrect_answers": split("Incorrect")}


def make_downloads(data):
    """Of each task whose rows the Hub has in another form, the first of them in that form."""
    rows = {}
    for name, (_, file, upstream) in tasks.items():
        if upstream in (as_it_is, wsc273, cola):
            continue
        make = generation if upstream is truthfulqa else upstream
        rows[name] = [make(row) for row in read_rows(data / file, 4)[0]]
    short = sorted(read_rows(data / "mmlu/test/anatomy_test.csv", 10**6)[0], key=lambda row: len("".join(row)))
    rows["mmlu"] = [mmlu(row) for row in short[:2]]
    write("downloads", {"rows": rows})


def make_questions(data, name, count=ROWS):
    config, file, upstream = tasks[name]
    if name in made_up:
        of = made_up[name]
        rows = [of(draw) if callable(of) else make_up(draw, **of) for _ in range(count)]
        lines = [f"x\t{row['label']}\t\t{row['sentence']}" if name == "cola" else json.dumps(row, ensure_ascii=False) for row in rows]
        text, documents = "\n".join(lines), rows
    else:
        rows, text = read_rows(data / file, count)
        documents = [upstream(row) for row in rows]
    task = make_task(read_config(folder / config), documents)
    write(name, {"files": {file: text}, **ask(task, SHOTS, WITH_SHOTS)})


if __name__ == "__main__":
    data = Path(sys.argv[1])
    here.mkdir(exist_ok=True)
    draw = random.Random(15)
    for name in tasks:
        make_questions(data, name)
    make_mmlu(data)
    make_wikitext(data)
    make_downloads(data)
    tasks.update(added)
    for name in added:
        make_questions(data, name, 10)
