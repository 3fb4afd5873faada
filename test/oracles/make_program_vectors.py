"""Whether programs pass HumanEval's tests by code_eval, as lm-evaluation-harness asks it: test/vectors/eval/generation/programs.json.

    python make_program_vectors.py FOLDER_OF_DATA CODE_EVAL

CODE_EVAL is the folder of metrics/code_eval of Hugging Face's evaluate (execute.py). Answers are canonical solutions and what was made of them
here: wrong, cut off, no program, ended early, in a block of code with words behind it.
"""
import json
import sys
from pathlib import Path

data = Path(sys.argv[1])
sys.path.insert(0, sys.argv[2])
from execute import check_correctness  # noqa: E402

target = Path(__file__).resolve().parent.parent / "vectors" / "eval" / "generation" / "programs.json"
rows = [json.loads(line) for line in (data / "humaneval/HumanEval.jsonl").read_text().split("\n") if line.strip()]
answers = {
    "humaneval": [
        lambda text: text,
        lambda text: text.replace("return ", "return not ", 1),
        lambda text: text.rsplit("\n", 2)[0] + "\n    return (",
        lambda text: "    import sys; sys.exit(0)\n",
        lambda text: "    print('x')\n" + text,
        lambda text: "",
        lambda text: text.replace("return", "yield", 1),
        lambda text: "```python\n" + text,
        lambda text: text.replace("    ", "  "),
        lambda text: "    import os; os.remove('x')\n" + text,
        lambda text: text + "\n    # and so on",
        lambda text: "    raise KeyError('x')\n",
    ],
    "humaneval_instruct": [
        lambda text: text + "```\nIt is so.",
        lambda text: text,
        lambda text: "```\n" + text,
        lambda text: "    return None\n```",
    ],
}
vectors = []
for task, made in answers.items():
    for i, make in enumerate(made):
        for row in (rows[11 + i], rows[40 + i]):
            answer = make(row["canonical_solution"])
            # build_predictions and build_predictions_instruct of the harness's humaneval/utils.py.
            taken = answer if task == "humaneval" else answer if answer.find("```") == -1 else answer[: answer.find("```")]
            program = f"{row['prompt']}{taken}\n{row['test']}\ncheck({row['entry_point']})"
            passed = check_correctness(program, 3.0, 0, 0)["passed"]
            vectors.append([task, {key: row[key] for key in ("prompt", "test", "entry_point")}, answer, int(passed)])
target.write_text(json.dumps(vectors, ensure_ascii=False, separators=(",", ":")) + "\n")
print(len(vectors), sum(vector[3] for vector in vectors), target.stat().st_size)
