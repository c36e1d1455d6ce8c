"""Turns a checkpoint that export.py wrote back into the training scripts' files, to train on from it.

    python tools/demo_model/import_checkpoint.py CHECKPOINT MODELS

Writes MODELS/vae_folded.pt, audio.pt, text.pt, dit.pt and spiece.model. What was rounded stays so."""

import glob
import json
import os
import shutil
import struct
import sys

import torch

import weights_file

import files  # of tools/make_checkpoint


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + size + o for o in entry["data_offsets"])
        dtype = {"BF16": torch.bfloat16, "F32": torch.float32}[entry["dtype"]]
        tensors[name] = torch.frombuffer(bytearray(data[begin:end]), dtype=dtype).view(entry["shape"])
    return tensors


def main(checkpoint, models):
    os.makedirs(models, exist_ok=True)
    at = lambda *parts: os.path.join(checkpoint, *parts)
    dit = {}
    for path in sorted(glob.glob(at(files.DIT_STEM + "-*.safetensors"))):
        dit.update(read_safetensors(path))
    networks = {"dit": dit, "audio": read_safetensors(at(files.AUDIO_FOLDER, "model.safetensors")),
                "text": torch.load(at(files.TEXT_FILE), weights_only=True),
                "vae_folded": torch.load(at(files.VAE_FILE), weights_only=True)}
    for name, weights in networks.items():
        weights_file.save(os.path.join(models, name + ".pt"), weights)
    shutil.copyfile(at(files.TOKENIZER_FOLDER, "spiece.model"), os.path.join(models, "spiece.model"))


if __name__ == "__main__":
    main(*sys.argv[1:])
