"""Writes ../vectors/templates/: what Hugging Face's jinja2 renders, for real chat templates and for small expressions.

    pip install transformers jinja2
    python make_template_vectors.py [folder]

templates/*.jinja    templates of published models; README.md says where each comes from
conversations.json   what they are rendered with: messages, tools, variables, and the names of tokens
expressions.json     small templates, one a line; those of the first list get "variables", all see the clock at 2024-03-05 07:08:09
expected.json        for each template and conversation the SHA-256 of the text (its first 16 digits) and its length, or "error";
                     for each expression the text, or {"error": the message}

With a folder, only the templates in it are rendered and expected.json is written there, in the same form: for templates whose
licence does not let them be part of this repository.
"""
import datetime
import hashlib
import json
import sys
from pathlib import Path

from transformers.utils.chat_template_utils import _cached_compile_jinja_template as compile_template

here = Path(__file__).resolve().parent.parent / "vectors" / "templates"
clock = datetime.datetime(2024, 3, 5, 7, 8, 9)


def render(source, variables):
    try:
        template = compile_template(source)
        template.globals["strftime_now"] = lambda form: clock.strftime(form)
        return template.render(**variables)
    except Exception as error:  # whatever a template does
        return {"error": str(error)}


def digest(result):
    if isinstance(result, dict):
        return "error"
    text = result.encode("utf-8", "surrogatepass")
    return f"{hashlib.sha256(text).hexdigest()[:16]} {len(result)}"


def render_all(folder):
    conversations = json.loads((here / "conversations.json").read_text("utf-8"))
    expected, texts = {}, {}
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_bytes().decode("utf-8")
        results = {each["name"]: render(source, {**each["trusted"], **each["variables"]}) for each in conversations}
        texts[path.stem] = results
        expected[path.stem] = {name: digest(result) for name, result in results.items()}
    return expected, texts


def dump(value, path):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", "utf-8")


if len(sys.argv) > 1:
    folder = Path(sys.argv[1])
    expected, texts = render_all(folder)
    dump({"templates": expected}, folder / "expected.json")
    dump(texts, folder / "texts.json")
else:
    expected, _ = render_all(here / "templates")
    small = json.loads((here / "expressions.json").read_text("utf-8"))
    results = {source: render(source, small["variables"]) for source in small["expressions"]}
    dump({"templates": expected, "expressions": results}, here / "expected.json")
