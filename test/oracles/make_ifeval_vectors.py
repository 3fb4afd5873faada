"""What lm-evaluation-harness makes of answers to IFEval's questions: test/vectors/eval/ifeval.json.br, by its own functions.

    pip install lm_eval==0.4.13 nltk==3.10.4 langdetect==1.0.9 immutabledict brotli   # and nltk_data's punkt_tab
    python make_ifeval_vectors.py FOLDER_OF_DATA [ANSWERS [SEED [FOLDER_OF_TEXTS [FILE]]]]

Answers are made up here: texts of the data (the questions themselves, GSM8K's answers, the declaration of human rights in many languages,
programs), changed so that they follow instructions, nearly follow them, or are malformed. Language detection draws at random: its seed is 0.
Two questions ask for a letter that is none; there the harness draws a letter, and they are left out.
"""
import json
import random
import re
import sys
from pathlib import Path

import langdetect
from lm_eval.tasks.ifeval import utils

data = Path(sys.argv[1])
usual = ["1000", "7", "text/multilingual/udhr", Path(__file__).resolve().parent.parent / "vectors" / "eval" / "ifeval.json.br"]
count, seed, texts, target = (*sys.argv[2:], *usual[len(sys.argv) - 2:])
count, seed, target = int(count), int(seed), Path(target)
langdetect.DetectorFactory.seed = 0
draw = random.Random(seed)


def rows_of(path):
    return [json.loads(line) for line in (data / path).read_text().split("\n") if line.strip()]


questions = [
    row for row in rows_of("eval/ifeval/input_data.jsonl")
    if all("a" <= kwargs.get("letter", "a").lower() <= "z" for kwargs in row["kwargs"])
]
english = [row["prompt"] for row in questions] + [row["answer"] for row in rows_of("eval/gsm8k/test.jsonl")[:300]]
programs = [row["prompt"] + row["canonical_solution"] for row in rows_of("eval/humaneval/HumanEval.jsonl")[:40]]
codes = dict(
    ar="arb", bg="bul", bn="ben", de="deu", fa="pes", fi="fin", gu="guj", hi="hin", it="ita", kn="kan", ko="kor", mr="mar", ne="nep", pa="pan",
    pt="por", ru="rus", sw="swh", ta="tam", te="tel", th="tha", ur="urd", vi="vie", ja="jpn", zh="zho", ro="ron", es="spa", fr="fra", el="ell",
    he="heb", pl="pol", hu="hun", sv="swe", cs="ces", nl="nld", cy="cym", tl="tgl", lt="lit", hr="hrv", en="eng",
)
stems = {path.stem[:3]: path for path in sorted((data / texts).glob("*.txt"))}
tongues = {code: stems[stem].read_text() for code, stem in codes.items() if stem in stems}
tricky = (
    "Dr. Smith met Mr. J. Doe at 5 p.m. He left. ; The U.S. economy grew 3.5 percent. It did! ; Wait... what?! \"Yes.\" she said. ; "
    "e.g. this, i.e. that. Etc. ; (It ended.) Then [it began.] ; No. 5 vs. No. 6. ; I can't, won't; it's John's dogs' -- isn't it? ; "
    "WE GOTTA GO, GIMME THAT. ; 'Twas the night. ; A.B.C. D. E. Fine. ; on Jan. 5 the Co. sued Inc. Magazine. ; \u201cQuoted.\u201d Next. ; "
    "He said ''ok''.  And `so` on... ; NASA and the U.S.A. and the IBM-PC; O'Reilly ; line one.\nline two!\n\nline three? ; 3. Third. 4. Fourth ; "
    "Ph.D. J.R.R. Tolkien wrote. lower case follows. ; visit https://a.example/B?c=d or me@b.example. ; \u00c9COLE \u0391\u0392\u0393 \u01c5 x\u0301y ; "
    "...and so. ; ?! ; . . . ; \"\" ; Section 1 a Section2 b SECTION 3 c Day 4 Audience 5 PARAGRAPH 6"
).split(" ; ")


def sentence(text):
    parts = re.split(r"(?<=[.!?\u0964\u3002])\s+", text)
    start = draw.randrange(len(parts))
    return " ".join(parts[start:start + draw.choice([1, 1, 2, 3, 6])])[:600]


def base():
    kind = draw.random()
    if kind < 0.5:
        return sentence(draw.choice(english))
    if kind < 0.6:
        return draw.choice(programs)[:400]
    if kind < 0.75:
        return " ".join(draw.choice(tricky) for _ in range(draw.choice([1, 2, 4])))
    if kind < 0.9:
        return sentence(tongues[draw.choice([*tongues])])
    return draw.choice(["", " ", "\n\n", "***", "******", "*", "\"", "```", "{}", "[]", "null", "NaN", "P.S.", ",", "\ufeff", "\x1c"])


def follow(name, kwargs, text):
    """Something that may do what is asked; how often, by one more or less."""
    about = lambda key: max(0, kwargs.get(key, 1) + draw.choice([-1, 0, 0, 1]))
    kind = name.split(":")[1]
    if kind == "existence":
        return f"{text} {' '.join(draw.choice([w, w.upper(), w + 's']) for w in kwargs['keywords'][draw.choice([0, 0, 1]):])}"
    if kind == "frequency":
        return f"{text} {' '.join([draw.choice(['', '(', 'un']) + kwargs['keyword']] * about('frequency'))}"
    if kind == "forbidden_words":
        return f"{text} {draw.choice(['', draw.choice(kwargs['forbidden_words']), 'x' + draw.choice(kwargs['forbidden_words'])])}"
    if kind == "letter_frequency":
        return f"{text} {draw.choice([kwargs['letter'], kwargs['letter'].upper()]) * about('let_frequency')}"
    if kind == "response_language":
        return sentence(tongues.get(kwargs["language"], text)) if draw.random() < 0.8 else text
    if kind == "number_sentences":
        return " ".join(draw.choice(["It is so.", "Why not?", "Mr. X ran!", "\"No.\"", "(Yes.)", "etc. and on...", sentence(text)]) for _ in range(about("num_sentences")))
    if kind == "number_words":
        words = (text.split() or ["a"]) * 400
        return " ".join(words[:about("num_words")])
    if kind == "number_paragraphs":
        parts = [draw.choice([text[:60], "b", " "] if draw.random() < 0.1 else [text[:60] or "a", "b"]) for _ in range(about("num_paragraphs"))]
        return draw.choice(["***", "\n***\n", " *** ", "****"]).join(parts) + draw.choice(["", "***", "\n***\n"])
    if kind == "nth_paragraph_first_word":
        parts = [text[:80].replace("\n\n", " ") or "x"] * about("num_paragraphs")
        at = kwargs["nth_paragraph"] - 1
        if at < len(parts):
            parts[at] = draw.choice(["", '"', "'", '"\'', "\n"]) + draw.choice([kwargs["first_word"], kwargs["first_word"].capitalize()]) + draw.choice([", so", "'s", " b", "-c", "!"])
        return draw.choice(["\n\n", "\n\n", "\n\n\n"]).join(parts)
    if kind == "number_placeholders":
        return f"{text} {draw.choice([' ', chr(10)]).join(draw.choice(['[name]', '[]', '[a [b]', '[c']) for _ in range(about('num_placeholders')))}"
    if kind == "postscript":
        return f"{text}{draw.choice([chr(10), ' '])}{draw.choice(['P.S.', 'P.P.S', 'P. S.', 'p.p.s.', 'P. P. S', 'PS:', 'P.P.S.'])} a note"
    if kind == "number_bullet_lists":
        return f"{text}\n" + "\n".join(draw.choice(["* a", "- b", "  * c", "*d", "**e**", "-f", "*"]) for _ in range(about("num_bullets")))
    if kind == "constrained_response":
        return draw.choice(["My answer is yes.", " My answer is no. ", "I think my answer is maybe.", "My answer is maybe", "Well. My answer is maybe. So."])
    if kind == "number_highlighted_sections":
        return f"{text} {' '.join(draw.choice(['*a*', '**b**', '* *', '**', '*c' + chr(10) + '*', '***d***']) for _ in range(about('num_highlights')))}"
    if kind == "multiple_sections":
        split = draw.choice([kwargs["section_spliter"]] * 7 + [kwargs["section_spliter"].lower()])
        return "\n".join(f"{split}{draw.choice([' ', ' ', '', '  '])}{draw.choice([i + 1] * 7 + ['X'])} {text[:40]}" for i in range(about("num_sections") + draw.choice([0, 1])))
    if kind == "json_format":
        inside = draw.choice([json.dumps({"a": text[:80]}), json.dumps([text[:40], None]), "{'a': 1}", '{"a": NaN}', "[1, -Infinity]", '{"a": 1,}', "1NaN", '"a\nb"', '"\\u00e9 NaN"', "01", "-NaN"])
        return draw.choice(["%s", "```json\n%s\n```", "```\n%s```", "```JSON %s", " %s ", "Here:\n```json\n%s\n```"]) % inside
    if kind == "title":
        return draw.choice(["<<a title>>", "<<>>", "<< >>", "<a>", "<<b\nc>>", "<<<d>>>", "<<e>>>>"]) + "\n" + text
    if kind == "two_responses":
        return draw.choice(["%s******b", "******%s******b", "%s******%s", "a***%s", "a******\n******%s", "%s\n******\nb******", "%s*******c"]).replace("%s", text[:80] or "a")
    if kind == "repeat_prompt":
        prompt = kwargs["prompt_to_repeat"]
        return draw.choice([prompt, prompt.upper(), f"\n {prompt}", f'"{prompt}"', prompt[:-3]]) + "\n" + text
    if kind == "end_checker":
        phrase = kwargs["end_phrase"]
        return text + " " + draw.choice([phrase, phrase.upper(), f'"{phrase}"', f"{phrase} ", phrase + "!", f"*{phrase}*"])
    if kind == "quotation":
        return draw.choice(['"%s"', ' "%s"\n', '"%s', "'%s'", "\u201c%s\u201d", '"%s".']).replace("%s", text)
    if kind == "capital_word_frequency":
        return text + " " + " ".join(draw.choice(["YES", "I", "NATO's", "U.S.", "A-B", "Ok", "CANNOT", "GONNA", "D'YE", "3D", "[A]", "\"B\"", "C,"]) for _ in range(about("capital_frequency")))
    if kind == "english_capital":
        return draw.choice([text, sentence(draw.choice(english))]).upper()
    if kind == "english_lowercase":
        return draw.choice([text, sentence(draw.choice(english))]).lower()
    if kind == "no_comma":
        return text.replace(",", "") if draw.random() < 0.7 else text
    raise ValueError(name)


def answer(row):
    text = base()
    for name, kwargs in draw.sample(list(zip(row["instruction_id_list"], row["kwargs"])), len(row["kwargs"])):
        if draw.random() < 0.85:
            text = follow(name, kwargs, text)
    if draw.random() < 0.3:
        text = draw.choice(["Sure, here it is:\n%s", "%s\n\nI hope this helps!", "**%s**", "Here:\n\n%s\nBye", "*%s", "%s\n"]).replace("%s", text)
    return text


rows = []
while len(rows) < count:
    row = draw.choice(questions)
    text = answer(row)
    try:
        result = utils.process_results(row, [text])
    except RecursionError:
        continue
    followed = [[int(each) for each in result[f"inst_level_{way}_acc"]] for way in ("strict", "loose")]
    rows.append([row["instruction_id_list"], row["kwargs"], text, *followed])

text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
if target.suffix == ".br":
    import brotli

    target.write_bytes(brotli.compress(text.encode(), quality=11, lgwin=24))
else:
    target.write_text(text)
print(len(rows), sum(all(row[3]) for row in rows), sum(all(row[4]) for row in rows), target.stat().st_size)
