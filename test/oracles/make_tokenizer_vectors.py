"""Makes test/vectors/tokenizer/: small tokenizers, and what the sentencepiece and tokenizers libraries do with them.

Usage: python make_tokenizer_vectors.py OUTPUT_FOLDER
Needs: sentencepiece, protobuf, tokenizers. Everything is made from the sentences below; nothing is downloaded.
"""

import io
import json
import os
import random
import sys
import tempfile

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

OUT = sys.argv[1]
rng = random.Random(5)

SENTENCES = """the quick brown fox jumps over the lazy dog
she sells sea shells by the sea shore, and the shells she sells are sea shells
we'll see what they've done; I'm sure it's fine, isn't it?
in the beginning the universe was created. this has made a lot of people very angry
el perro y el gato viven en la misma casa, pero no son amigos todavía
mañana será otro día, dijo la niña con una sonrisa
der schnelle braune fuchs springt über den faulen hund
быстрая коричневая лиса прыгает через ленивую собаку
the function returns the value of the first argument: return first(values)
for i in range(10): print(i, values[i])
numbers such as 12, 345 and 6789 are everywhere, and 3.14159 too
""".splitlines() * 6

POOL = list(" \t\n\r\u00a0\u3000\u0085'’\".,;:!?()[]<>/=+-_$`~^|0123456789½٣Ⅷabcdefghstlmvre STDLM") + [
    "the", " the", "shells", "'s", "'S", "'ll", "'LL", "'ſ", "  ", "    ", "\r\n", "\n\n", "niña", "über", "лиса", "ﬁ", "①", "ｱ",
    "é", "e\u0301", "한국어", "中文", "नमस्ते", "😀", "👩‍👩‍👧", "\u200b", "\ufeff", "\u0000", "\u0007", "\ufffd", "▁", "Ġ", "ǅ", "İ",
    "<s>", "</s>", "<unk>", "<0x41>", "<|im_start|>", "<tool>", "ab", "aba", "12345",
]  # fmt: skip

TEXTS = ["", " ", "  ", "▁", "a", "\n", " \n ", "the", " the", "the  shells ", "\u0000", "😀", "ﬁ①ｱ"] + SENTENCES[:11]
TEXTS += ["".join(rng.choice(POOL) for _ in range(rng.randint(1, 24))) for _ in range(110)]

# The library's own rules (nmt_nfkc) make a file of 240 KB; these few are of the same kinds.
RULES = "FB01\t66 69\n2460\t31\nFF71\t30A2\nFF71 FF9E\t30A2 3099\n65 301\tE9\n9\t20\nA0\t20\n3000\t20 20\n200B\t\nA\t20\n"


def train(**options):
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=model, minloglevel=2, num_threads=1, hard_vocab_limit=False, **options
    )
    return model.getvalue()


def change(data, edit):
    proto = pb.ModelProto()
    proto.ParseFromString(data)
    edit(proto)
    return proto.SerializeToString()


def mark_unused(proto):
    """Every fourth piece of three or more characters is unused, so that texts must be cut again."""
    found = [p for p in proto.pieces if p.type == 1 and len(p.piece) > 2]
    for piece in found[::4]:
        piece.type = 5


def add_crossing(proto):
    """A piece with a space inside: words no longer stand alone."""
    for text in ["e▁s", "s▁", "e▁"]:
        proto.pieces.add(piece=text, score=-1.5)


def sentencepiece_vectors(name, data):
    processor = spm.SentencePieceProcessor(model_proto=data)
    size = processor.get_piece_size()
    with open(os.path.join(OUT, f"{name}.model"), "wb") as f:
        f.write(data)
    lines = []
    for text in TEXTS:
        ids = processor.encode(text)
        lines.append({"text": text, "ids": ids, "decoded": processor.decode(ids)})
    ids_only = []
    for _ in range(80):
        ids = [rng.randrange(size) if rng.random() < 0.6 else rng.randrange(min(size, 300)) for _ in range(rng.randint(1, 12))]
        ids_only.append({"ids": ids, "decoded": processor.decode(ids)})
    with open(os.path.join(OUT, f"{name}.json"), "w", encoding="utf-8") as f:
        json.dump({"encode": lines, "decode": ids_only}, f, ensure_ascii=True, separators=(",", ":"))


def make_sentencepiece():
    identity = dict(normalization_rule_name="identity", remove_extra_whitespaces=False, byte_fallback=True)
    grok = train(
        model_type="bpe", vocab_size=420, split_digits=True, allow_whitespace_only_pieces=True,
        user_defined_symbols=["\n", "\n\n", "0", "1", "2", "\t", "  ", "<tool>", "<|im_start|>", "aba", "ab"], **identity,
    )  # fmt: skip
    sentencepiece_vectors("sp-bpe", grok)
    sentencepiece_vectors("sp-bpe-unused", change(grok, mark_unused))
    sentencepiece_vectors("sp-bpe-crossing", change(grok, add_crossing))
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write(RULES)
        rules.flush()
        charsmap = train(
            model_type="bpe", vocab_size=420, normalization_rule_tsv=rules.name, user_defined_symbols=["  ", "<tool>", "\u2460\u2460"]
        )
    charsmap = change(charsmap, lambda proto: proto.normalizer_spec.ClearField("normalization_rule_tsv"))
    sentencepiece_vectors("sp-bpe-charsmap", charsmap)
    suffix = train(
        model_type="bpe", vocab_size=400, treat_whitespace_as_suffix=True, unk_surface="[UNK]", add_dummy_prefix=True,
        normalization_rule_name="identity",
    )  # fmt: skip
    sentencepiece_vectors("sp-bpe-suffix", suffix)
    unigram = train(model_type="unigram", vocab_size=420, user_defined_symbols=["<tool>", "ab"], **identity)
    sentencepiece_vectors("sp-unigram", unigram)
    raw = change(grok, lambda proto: setattr(proto.normalizer_spec, "escape_whitespaces", False))
    sentencepiece_vectors("sp-bpe-raw", raw)


CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def split(expression):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(expression), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip


GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
PRE_TOKENIZERS = {
    "gpt-2": GPT2,
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2]),
    "llama-bpe": split(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + REST),
    "grok-2": split(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + REST),
    "gpt-4o": split(
        rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTIONS}?"
        rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{REST}"
    ),
    "tekken": split(
        rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"
        rf"|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{REST}"
    ),
}
IGNORE_MERGES = {"llama-bpe", "tekken"}


def make_byte_bpe():
    trainer = trainers.BpeTrainer(
        vocab_size=560, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = GPT2
    trained.train_from_iterator(SENTENCES, trainer)
    model = json.loads(trained.to_str())["model"]
    tokens = [piece for piece, _ in sorted(model["vocab"].items(), key=lambda item: item[1])]
    # A word that no merge makes: only tokenizers that ignore merges find it.
    tokens += ["Ġshellsx", "<tool>"]
    vocab = {piece: i for i, piece in enumerate(tokens)}
    merges = [tuple(m) for m in model["merges"]]
    types = [3] * 3 + [1] * (len(tokens) - 4) + [4]
    texts = TEXTS + ["shellsx shellsx", "a shellsx"]
    families = {}
    for name, pre_tokenizer in PRE_TOKENIZERS.items():
        # The control tokens are ordinary text unless asked for, so the library is told of the added token only.
        for special in (False, True):
            tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=name in IGNORE_MERGES))
            tokenizer.pre_tokenizer = pre_tokenizer
            tokenizer.decoder = decoders.ByteLevel()
            tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
            if special:
                tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in tokens[:3]])
            families[name + (" special" if special else "")] = [e.ids for e in tokenizer.encode_batch(texts)]
    lists = [[rng.randrange(len(tokens)) for _ in range(rng.randint(1, 10))] for _ in range(100)]
    decoded = [tokenizer.decode(ids, skip_special_tokens=True) for ids in lists]
    with open(os.path.join(OUT, "byte-bpe.json"), "w", encoding="utf-8") as f:
        json.dump(
            {
                "tokens": tokens, "types": types, "merges": [" ".join(m) for m in merges], "texts": texts,
                "encode": families, "decode": [{"ids": i, "decoded": d} for i, d in zip(lists, decoded)],
            },
            f, ensure_ascii=True, separators=(",", ":"),
        )  # fmt: skip


make_sentencepiece()
make_byte_bpe()
