"""Checks a tokenizer that `grok1 train-tokenizer` makes against the sentencepiece library.

Usage: python check_tokenizer_training.py VOCAB_SIZE TEXT_FILE...     (from the repository, after `npm run build`)
Needs: sentencepiece. Every 20th line of the files is held out. Both train on the others with the same settings; then
- the library loads our model and gives the same ids and texts as our encoder, for every held-out line;
- tokens a byte of held-out text, ours and the library's, and the number of pieces in common.
Exits with 1 when a line differs or our model needs over 1 % more tokens.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

import sentencepiece as spm

size = int(sys.argv[1])
program = os.path.join(os.path.dirname(__file__), "../../dist/cli/main.js")
program = os.environ.get("GROK1_PROGRAM", program)
controls = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
symbols = ["\n", "\n\n"]

train, held = [], []
for path in sys.argv[2:]:
    with open(path, encoding="utf-8", newline="\n") as f:
        lines = [line for line in f.read().replace("\r\n", "\n").split("\n") if line and line != "<|endoftext|>"]
    for i, line in enumerate(lines):
        (held if i % 20 == 0 else train).append(line)

with tempfile.TemporaryDirectory() as folder:
    text = os.path.join(folder, "train.txt")
    with open(text, "w", encoding="utf-8", newline="\n") as f:
        f.write("\n".join(train) + "\n")

    start = time.time()
    args = ["node", program, "train-tokenizer", text, "--vocab-size", str(size), "--out", os.path.join(folder, "our.model")]
    for symbol in controls:
        args += ["--control-symbol", symbol]
    for symbol in symbols:
        args += ["--user-symbol", symbol]
    subprocess.run(args, check=True, stdout=sys.stderr)
    our_seconds = time.time() - start

    start = time.time()
    spm.SentencePieceTrainer.train(
        input=text, model_prefix=os.path.join(folder, "peer"), vocab_size=size, model_type="bpe", byte_fallback=True,
        split_digits=True, allow_whitespace_only_pieces=True, normalization_rule_name="identity",
        remove_extra_whitespaces=False, pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[BOS]",
        eos_piece="[EOS]", unk_piece="[UNK]", control_symbols=controls, user_defined_symbols=symbols,
        max_sentence_length=1 << 24, num_threads=1, minloglevel=2,
    )  # fmt: skip
    peer_seconds = time.time() - start

    ours = spm.SentencePieceProcessor(model_file=os.path.join(folder, "our.model"))
    peer = spm.SentencePieceProcessor(model_file=os.path.join(folder, "peer.model"))

    # Lines one by one, and joined with the line ends and markers that are symbols of the model.
    texts = held + ["\n\n".join(held[i : i + 3]) for i in range(0, len(held), 7)]
    texts += [f"  {a}\t<|user|> {i} 数字😀\n" for i, a in enumerate(held[::11])]
    jsonl = "".join(json.dumps({"text": t}) + "\n" for t in texts)
    run = subprocess.run(
        ["node", program, "tokenize", "--tokenizer", os.path.join(folder, "our.model"), "--jsonl"],
        input=jsonl.encode(), capture_output=True, check=True,
    )  # fmt: skip
    answers = [json.loads(line) for line in run.stdout.decode().split("\n") if line]
    assert len(answers) == len(texts), (len(answers), len(texts))
    different = 0
    for text, answer in zip(texts, answers):
        ids = ours.encode(text)
        if ids != answer["ids"] or ours.decode(ids) != answer["decoded"]:
            different += 1
            if different <= 5:
                print("differs:", repr(text), ids, answer["ids"])
    total = sum(len(t.encode()) for t in held)
    our_tokens = sum(len(ours.encode(t)) for t in held)
    peer_tokens = sum(len(peer.encode(t)) for t in held)
    pieces = [{m.id_to_piece(i) for i in range(m.get_piece_size())} for m in (ours, peer)]
    same = [ours.id_to_piece(i) == peer.id_to_piece(i) for i in range(min(ours.get_piece_size(), peer.get_piece_size()))]
    result = {
        "texts": len(texts), "different": different, "held-out bytes": total,
        "bytes/token ours": round(total / our_tokens, 4), "bytes/token library": round(total / peer_tokens, 4),
        "tokens ours/library": round(our_tokens / peer_tokens, 5), "vocabulary": ours.get_piece_size(),
        "pieces in common": len(pieces[0] & pieces[1]), "same id": sum(same),
        "ids": [ours.pad_id(), ours.bos_id(), ours.eos_id(), ours.unk_id()],
        "seconds ours": round(our_seconds, 1), "seconds library": round(peer_seconds, 1),
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    sys.exit(1 if different or our_tokens > peer_tokens * 1.01 or result["ids"] != [0, 1, 2, 3] else 0)
