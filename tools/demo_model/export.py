"""Writes the trained networks as a checkpoint in the public layout.

    python tools/demo_model/export.py MODELS FOLDER [BITS]

With BITS (at most 7) the transformer's weights are rounded to so many and the others' to one more, so that the files can
be packed small. MODELS has vae_folded.pt (or vae.pt, not folded yet), audio.pt, text.pt, dit.pt and spiece.model."""

import collections.abc
import os
import shutil
import sys

import torch

import train_vae
import vae
import weights_file

import configs  # these of tools/make_checkpoint
import files
import shapes
import tokenizer


class Trained(collections.abc.Mapping):
    """A component's tensors in bfloat16, as files.py writes them; names and shapes must be those of the layout."""

    dtype = torch.bfloat16

    def __init__(self, component, dims, weights, bits):
        self.shapes = shapes.COMPONENTS[component](dims)
        found = {name: tuple(value.shape) for name, value in weights.items()}
        if found != self.shapes:
            raise SystemExit(f"export: {component} is of another recipe: "
                             f"{sorted(set(found.items()) ^ set(self.shapes.items()))[:4]}")
        self._weights, self._bits = weights, bits

    def __getitem__(self, name):
        value = self._weights[name].detach()
        return (weights_file.rounded(value, self._bits) if self._bits else value).to(self.dtype).contiguous()

    def __iter__(self):
        return iter(self.shapes)

    def __len__(self):
        return len(self.shapes)


def read(models, name):
    return weights_file.load(os.path.join(models, name + ".pt"), "cpu")


def read_vae(models, size):
    if os.path.exists(os.path.join(models, "vae_folded.pt")):
        return read(models, "vae_folded")
    weights = read(models, "vae")
    vae.fold(weights, *train_vae.statistics(vae.Vae(weights), 99, "cpu", size))
    return weights


def main(models, folder, bits=0):
    bits = int(bits)
    others = bits + 1 if bits else 0
    recipe = weights_file.read_recipe()
    dims = weights_file.dims_of(recipe)
    text_folder, audio_folder = (os.path.join(folder, f) for f in (files.TOKENIZER_FOLDER, files.AUDIO_FOLDER))
    os.makedirs(text_folder, exist_ok=True)
    os.makedirs(audio_folder, exist_ok=True)
    model = os.path.join(text_folder, "spiece.model")
    shutil.copyfile(os.path.join(models, "spiece.model"), model)
    words = tokenizer.to_json(model)
    dims.text.vocab = len(words["model"]["vocab"])
    files.write_json(os.path.join(text_folder, "tokenizer.json"), words, indent=None)
    files.write_json(os.path.join(text_folder, "tokenizer_config.json"), configs.tokenizer())

    files.write_dit(folder, Trained("dit", dims, read(models, "dit"), bits))
    files.write_json(os.path.join(folder, "config.json"), configs.dit(dims))
    files.write_archive(os.path.join(folder, files.TEXT_FILE), Trained("text", dims, read(models, "text"), others))
    files.write_archive(os.path.join(folder, files.VAE_FILE), Trained("vae", dims, read_vae(models, recipe["size"]), others))
    sound = read(models, "audio")
    for name in sound:  # adds nothing
        if ".attention." in name:
            sound[name].zero_()
    files.write_safetensors(os.path.join(audio_folder, "model.safetensors"), Trained("audio", dims, sound, others))
    files.write_json(os.path.join(audio_folder, "config.json"), configs.audio(dims, "bfloat16"))
    files.write_json(os.path.join(audio_folder, "preprocessor_config.json"), configs.audio_input())
    count = sum(os.path.getsize(os.path.join(root, f)) for root, _, names in os.walk(folder) for f in names)
    print(f"{folder}: {count / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
