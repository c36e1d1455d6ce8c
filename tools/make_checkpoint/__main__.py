"""Makes a checkpoint with random weights in the public file layout, or checks an existing one.

    python tools/make_checkpoint make RECIPE.json FOLDER [DEVICE]
                                                             writes a checkpoint; the same recipe gives the same weights
                                                             (on a GPU, DEVICE cuda, others, and large ones in seconds);
                                                             a tokenizer that is there already is kept
    python tools/make_checkpoint check FOLDER ...            compares the names and shapes of all tensors and the
                                                             tokenizer of existing checkpoints with what `make` would
                                                             write at their dimensions

A recipe has the dimensions (dims.py), a seed, the type of the weights (float32 or bfloat16), and the tokenizer's text.
"""

import json
import math
import os
import sys

import torch

import configs
import dims as dimensions
import files
import shapes
import tokenizer
import weights


def make(recipe_file, folder, device="cpu"):
    with open(recipe_file, encoding="utf-8") as f:
        recipe = json.load(f)
    dims = dimensions.from_recipe(recipe)
    dtype = getattr(torch, recipe["dtype"])
    text_folder = os.path.join(folder, files.TOKENIZER_FOLDER)
    audio_folder = os.path.join(folder, files.AUDIO_FOLDER)
    os.makedirs(text_folder, exist_ok=True)
    os.makedirs(audio_folder, exist_ok=True)

    words = recipe["tokenizer"]
    model = os.path.join(text_folder, "spiece.model")
    if not os.path.exists(model):
        tokenizer.train(model, words["corpus"], words["pieces"], words["normalization"])
    words_json = tokenizer.to_json(model)
    files.write_json(os.path.join(text_folder, "tokenizer.json"), words_json, indent=None)
    files.write_json(os.path.join(text_folder, "tokenizer_config.json"), configs.tokenizer())
    dims.text.vocab = max(dims.text.vocab, len(words_json["model"]["vocab"]))

    tensors = {name: weights.Drawn(name, spec(dims), recipe["seed"], dtype, device)
               for name, spec in shapes.COMPONENTS.items()}
    files.write_dit(folder, tensors["dit"])
    files.write_json(os.path.join(folder, "config.json"), configs.dit(dims))
    files.write_safetensors(os.path.join(folder, files.LORA_FILE), tensors["lora"])
    files.write_archive(os.path.join(folder, files.TEXT_FILE), tensors["text"])
    files.write_archive(os.path.join(folder, files.VAE_FILE), tensors["vae"])
    files.write_safetensors(os.path.join(audio_folder, "model.safetensors"), tensors["audio"])
    files.write_json(os.path.join(audio_folder, "config.json"), configs.audio(dims, recipe["dtype"]))
    files.write_json(os.path.join(audio_folder, "preprocessor_config.json"), configs.audio_input())
    count = sum(math.prod(shape) for part in tensors.values() for shape in part.shapes.values())
    print(f"{folder}: {count:,} parameters in {recipe['dtype']}, {len(words_json['model']['vocab'])} tokens")


def differences(folder):
    """What an existing checkpoint has otherwise than `make` would write it."""
    found = files.read_shapes(folder)
    dims = dimensions.from_checkpoint(folder, found)
    for component, spec in shapes.COMPONENTS.items():
        expected = spec(dims)
        for name in sorted(expected.keys() | found[component].keys()):
            ours, theirs = expected.get(name), found[component].get(name)
            if ours != theirs:
                yield f"{component}: {name}: expected {ours or 'nothing'}, found {theirs or 'nothing'}"
    text_folder = os.path.join(folder, files.TOKENIZER_FOLDER)
    with open(os.path.join(text_folder, "tokenizer.json"), encoding="utf-8") as f:
        theirs = json.load(f)
    ours = tokenizer.to_json(os.path.join(text_folder, "spiece.model"))
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            yield f"tokenizer.json: '{key}' does not follow from spiece.model"
    with open(os.path.join(folder, "config.json")) as f:
        theirs = json.load(f)
    for key, value in configs.dit(dims).items():
        if not key.startswith("_") and theirs.get(key) != value:
            yield f"config.json: '{key}': expected {value!r}, found {theirs.get(key)!r}"


def check(folders):
    failed = False
    for folder in folders:
        lines = list(differences(folder))
        count = sum(len(part) for part in files.read_shapes(folder).values())
        print(f"{folder}: {count} tensors, " + (f"{len(lines)} differences" if lines else "as expected"))
        for line in lines:
            print("  " + line)
        failed = failed or bool(lines)
    return 1 if failed else 0


def main(arguments):
    if len(arguments) in (3, 4) and arguments[0] == "make":
        return make(*arguments[1:])
    if len(arguments) > 1 and arguments[0] == "check":
        return check(arguments[1:])
    print(__doc__.strip(), file=sys.stderr)
    return 64


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
