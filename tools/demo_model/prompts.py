"""Does the prompt decide the expression? prompts.py PROGRAM CHECKPOINT STEM [STEM …]

Renders a clip of each STEM (of make_demo.py) with each expression in its prompt, and says for each which of the four drawn
expressions the frames are nearest to, and the squared errors."""

import json
import os
import sys

import torch

import faces
import measure
import weights_file


def main(program, checkpoint, *stems):
    torch.set_num_threads(1)
    size = weights_file.read_recipe()["size"]
    for stem in stems:
        with open(stem + ".json", encoding="utf-8") as f:
            known = json.load(f)
        person, track, own = known["person"], torch.tensor(known["tracks"])[3:48], known["person"]["expression"]
        drawn = {}
        for name in faces.EXPRESSIONS:
            other = dict(person, values=dict(person["values"], mimic=faces.mimic(name)))
            drawn[name] = faces.draw(faces.stack([other], "cpu"), track.unsqueeze(0), size)[0].transpose(0, 1)
        for name in faces.EXPRESSIONS:
            prompt = known["prompt"].replace(own, name).replace(own.capitalize(), name.capitalize())
            frames = measure.render(program, checkpoint, stem + ".png", stem + ".wav", prompt, size, 1, 1).float() / 127.5 - 1
            errors = {other: (frames - d[:len(frames)]).square().mean().item() for other, d in drawn.items()}
            print(json.dumps({"video": os.path.basename(stem), "prompt": name, "nearest": min(errors, key=errors.get),
                              "errors": {k: round(v, 5) for k, v in errors.items()}}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
