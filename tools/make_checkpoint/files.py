"""Reading and writing a checkpoint's files."""

import collections
import glob
import json
import math
import os
import struct

import torch

VAE_FILE = "Wan2.1_VAE.pth"
TEXT_FILE = "models_t5_umt5-xxl-enc-bf16.pth"
LORA_FILE = "liveavatar.safetensors"
AUDIO_FOLDER = "wav2vec2-large-xlsr-53-english"
TOKENIZER_FOLDER = os.path.join("google", "umt5-xxl")
DIT_STEM = "diffusion_pytorch_model"

_DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16"}


def write_json(path, value, indent=1):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=indent, ensure_ascii=False, separators=None if indent else (",", ":"))
        f.write("\n")


def _bytes(drawn, name):
    return math.prod(drawn.shapes[name]) * drawn.dtype.itemsize


def write_safetensors(path, drawn, names=None):
    """All of `drawn` (weights.Drawn), or the named ones; in memory is one tensor at a time."""
    names = sorted(drawn if names is None else names)
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name in names:
        end = at + _bytes(drawn, name)
        header[name] = {"dtype": _DTYPES[drawn.dtype], "shape": list(drawn.shapes[name]), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            f.write(drawn[name].contiguous().flatten().view(torch.uint8).numpy().data)


def read_safetensors_shapes(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    header.pop("__metadata__", None)
    return {name: tuple(entry["shape"]) for name, entry in header.items()}


def write_dit(folder, drawn, parts=2):
    """The transformer in `parts` files with an index, as the public checkpoint has it."""
    names = sorted(drawn)
    per_part = -(-len(names) // parts)
    weight_map, total = {}, 0
    for i in range(parts):
        file = f"{DIT_STEM}-{i + 1:05d}-of-{parts:05d}.safetensors"
        part = names[i * per_part:(i + 1) * per_part]
        write_safetensors(os.path.join(folder, file), drawn, part)
        weight_map.update({n: file for n in part})
        total += sum(_bytes(drawn, n) for n in part)
    write_json(os.path.join(folder, DIT_STEM + ".safetensors.index.json"),
               {"metadata": {"total_size": total}, "weight_map": weight_map})


def write_archive(path, tensors):
    """A .pth like the public ones: an OrderedDict that carries module versions beside its entries."""
    state = collections.OrderedDict(tensors)
    folders = {""}
    for name in tensors:
        parts = name.split(".")[:-1]
        folders.update(".".join(parts[:i + 1]) for i in range(len(parts)))
    state._metadata = collections.OrderedDict((f, {"version": 1}) for f in sorted(folders))
    torch.save(state, path)


def read_shapes(folder):
    """component -> name -> shape of the checkpoint in `folder`."""
    def archive(file):
        state = torch.load(os.path.join(folder, file), weights_only=True, mmap=True)
        return {name: tuple(t.shape) for name, t in state.items()}

    dit = {}
    for path in sorted(glob.glob(os.path.join(folder, DIT_STEM + "*.safetensors"))):
        dit.update(read_safetensors_shapes(path))
    return {
        "dit": dit,
        "lora": read_safetensors_shapes(os.path.join(folder, LORA_FILE)),
        "text": archive(TEXT_FILE),
        "audio": read_safetensors_shapes(os.path.join(folder, AUDIO_FOLDER, "model.safetensors")),
        "vae": archive(VAE_FILE),
    }
