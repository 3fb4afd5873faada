"""Makes test/vectors/tokenizer/trained.json: what the sentencepiece library learns from a small text.

Usage: python make_tokenizer_training_vectors.py OUTPUT_FILE
Needs: sentencepiece. The text is made here from word lists, in several scripts; nothing is downloaded.
No word has a letter three times in a row: there the library's counts of a pair lag behind what is left of it.
"""

import io
import json
import random
import sys

import sentencepiece as spm

rng = random.Random(11)
ENGLISH = """once upon a time there was a little fox who lived in the forest and looked for berries every morning. he said
"hello" to the birds; they weren't listening, because singing is busy work! summer summers fuzzy buzzing mississippi
bookkeeper 12 345 6789 3.14 foo_bar x86 can't won't state-of-the-art""".split()
SPANISH = "había una vez un zorro pequeño que vivía en el bosque y buscaba frutas cada mañana ¿dónde está la niña? ¡qué día!".split()
OTHER = "жила была лиса в лесу 森の中に小さな狐が住んでいた カタカナ αλεπού γιορτή 123abc привет42 한국어".split()


def sentence(words):
    # Zipf's law, so that few pairs are equally frequent.
    weights = [1 / (i + 1) for i in range(len(words))]
    return " ".join(rng.choices(words, weights, k=rng.randint(3, 12)))


lines = [sentence(rng.choices([ENGLISH, SPANISH, OTHER], [6, 3, 1])[0]) for _ in range(500)]
lines += ["  two  spaces   three    four", "a<|user|>b", "tab\there"] * 3
rng.shuffle(lines)
options = dict(vocab_size=520, user_defined_symbols=["\n", "\n\n"], control_symbols=["<|user|>", "<|end|>"])
model = io.BytesIO()
spm.SentencePieceTrainer.train(
    sentence_iterator=iter(lines), model_writer=model, model_type="bpe", byte_fallback=True, split_digits=True,
    allow_whitespace_only_pieces=True, normalization_rule_name="identity", remove_extra_whitespaces=False, pad_id=0, bos_id=1,
    eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[BOS]", eos_piece="[EOS]", unk_piece="[UNK]", num_threads=1,
    character_coverage=0.999, minloglevel=2, **options,
)  # fmt: skip
peer = spm.SentencePieceProcessor(model_proto=model.getvalue())
with open(sys.argv[1], "w", encoding="utf-8") as f:
    pieces = [peer.id_to_piece(i) for i in range(peer.get_piece_size())]
    json.dump({"lines": lines, "coverage": 0.999, **options, "pieces": pieces}, f, ensure_ascii=False)
    f.write("\n")
