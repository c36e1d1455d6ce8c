"""The text encoder's tokenizer: spiece.model by spm_train, and the tokenizer.json that belongs to it."""

import base64
import os
import shutil
import struct
import subprocess
import sys
import tempfile

EXTRA_IDS = 300
_NORMAL = 1  # SentencePiece's type of an ordinary piece


def train(path, corpus, pieces, normalization):
    """Trains a unigram model with byte fallback. `normalization` is one of SentencePiece's rules: nmt_nfkc as in the
    public model, or identity, which spares 240 KB of tables."""
    # In a folder of its own, by relative names: the trainer writes its command line into the model.
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "corpus.txt"), "w", encoding="utf-8") as f:
            f.write("\n".join(corpus * 20) + "\n")
        command = ["spm_train", "--input=corpus.txt", "--model_prefix=spiece", f"--vocab_size={pieces}",
                   "--model_type=unigram", "--character_coverage=1.0", "--byte_fallback=true", "--pad_id=0",
                   "--eos_id=1", "--unk_id=2", "--bos_id=3", "--hard_vocab_limit=false", "--num_threads=1",
                   f"--normalization_rule_name={normalization}", "--minloglevel=2"]
        try:
            subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
        except FileNotFoundError:
            sys.exit("make_checkpoint: the program spm_train is missing: install Debian's package sentencepiece")
        shutil.copyfile(os.path.join(folder, "spiece.model"), path)


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _fields(data):
    """Yields (field, value) of a protobuf message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = data[at:at + size], at + size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at:at + size], at + size
        else:
            raise ValueError(f"protobuf wire type {kind}")
        yield key >> 3, value


def read(path):
    """([(piece, score, type)], the normalizer's table) of a spiece.model."""
    pieces, table = [], b""
    with open(path, "rb") as f:
        data = f.read()
    for field, value in _fields(data):
        if field == 1:
            entry = dict(_fields(value))
            score = struct.unpack("<f", entry[2])[0] if 2 in entry else 0.0
            pieces.append((entry[1].decode(), score, entry.get(3, _NORMAL)))
        elif field == 3:
            table = dict(_fields(value)).get(2, b"")
    return pieces, table


def _added(number, content, extra):
    return {"id": number, "content": content, "single_word": False, "lstrip": extra, "rstrip": extra,
            "normalized": False, "special": True}


def extra_tokens(count):
    """Sentinels are numbered downwards: the last one comes first."""
    return [(count + i, f"<extra_id_{EXTRA_IDS - 1 - i}>") for i in range(EXTRA_IDS)]


def to_json(path):
    """What tokenizer.json says of the model at `path`: the fast tokenizer without byte fallback."""
    pieces, table = read(path)
    extra = extra_tokens(len(pieces))
    space = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    normalizers = [{"type": "Strip", "strip_left": False, "strip_right": True},
                   {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}]
    if table:
        normalizers.insert(0, {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()})
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    end = {"SpecialToken": {"id": "</s>", "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [_added(i, pieces[i][0], False) for i in range(4)] + [_added(*e, True) for e in extra],
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": space,
        "post_processor": {"type": "TemplateProcessing", "single": [first, end], "pair": [first, end, second, end],
                           "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
        "decoder": space,
        "model": {"type": "Unigram", "unk_id": 2,
                  "vocab": [[p, s] for p, s, _ in pieces] + [[content, 0.0] for _, content in extra],
                  "byte_fallback": False},
    }
