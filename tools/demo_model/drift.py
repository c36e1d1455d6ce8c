"""Renders many clips and says whether they drift: drift.py PROGRAM CHECKPOINT STEM [CLIPS] [THREADS] [DEVICE]

STEM.png, STEM.wav (repeated as often as needed) and STEM.json are what make_demo.py wrote. Prints JSON: mean brightness,
sharpness and likeness (correlation with the drawn face, in blocks of 8 × 8 pixels) of clips 2 to 11 and of the last 10."""

import json
import os
import sys
import tempfile
import wave

import torch
import torch.nn.functional as F

import controls
import faces
import measure
import weights_file

CLIP = 48


def repeated(path, seconds, to):
    with wave.open(path) as sound:
        rate, samples = sound.getframerate(), sound.readframes(sound.getnframes())
    with wave.open(to, "wb") as longer:
        longer.setnchannels(1)
        longer.setsampwidth(2)
        longer.setframerate(rate)
        longer.writeframes(samples * (int(2 * rate * seconds) // len(samples) + 1))


def values(frames, drawn):
    """frames [n, 3, h, w] of some clips -> what must stay the same."""
    edges = (frames[..., 1:] - frames[..., :-1]).abs().mean() + (frames[..., 1:, :] - frames[..., :-1, :]).abs().mean()
    coarse = lambda x: F.avg_pool2d(x, 8).flatten(1)
    a, b = coarse(frames), coarse(drawn).expand(len(frames), -1)
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    likeness = (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()
    return {"brightness": (frames.mean() * 0.5 + 0.5).item(), "sharpness": edges.item() / 2, "likeness": likeness.mean().item()}


def main(program, checkpoint, stem, clips=200, threads=0, device="cpu"):
    clips = int(clips)
    with open(stem + ".json", encoding="utf-8") as f:
        known = json.load(f)
    size = weights_file.read_recipe()["size"]
    drawn = faces.draw(faces.stack([known["person"]], "cpu"), torch.zeros(1, 1, controls.COUNT), size)[:, :, 0]
    with tempfile.TemporaryDirectory() as folder:
        sound = os.path.join(folder, "long.wav")
        repeated(stem + ".wav", clips * CLIP / controls.FRAME_RATE, sound)
        frames = measure.render(program, checkpoint, stem + ".png", sound, known["prompt"], size, clips, int(threads), device)
    part = lambda first, count: values(frames[first * CLIP - 3:(first + count) * CLIP - 3].float() / 127.5 - 1, drawn)
    found = {"frames": len(frames), "clips 2 to 11": part(1, 10), "last 10 clips": part(clips - 10, 10)}
    before, after = found["clips 2 to 11"], found["last 10 clips"]
    found["change_percent"] = {name: 100 * (after[name] / before[name] - 1) for name in before}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
