"""Draws portraits and speaks speeches that training never saw.

    make_demo.py FOLDER [COUNT]   N.png, N.wav and N.json (prompt, person, tracks at 25 a second) for N = 0 … COUNT - 1
    make_demo.py FOLDER demo      those of configs/demo, with a job for each"""

import json
import os
import struct
import sys

import numpy as np
import torch

import controls
import corpus
import espeak
import faces
import pictures
import training
import weights_file

TEXTS = (
    ("en", "Hello! I am a small model, and my lips follow every word. Papa, mama, how do you do? Far above the blue "
           "moon, people open many windows."),
    ("de", "Guten Tag! Ich bin ein kleines Modell, und meine Lippen folgen jedem Wort. Papa, Mama, wie geht es euch? "
           "Über dem blauen Baum wohnt ein alter Mann."),
    ("en", "Good evening. Please remember the number five, the purple umbrella, and the beautiful village. Maybe we "
           "move tomorrow."),
)


def write_wav(path, samples):
    data = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    with open(path, "wb") as f:
        f.write(b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " +
                struct.pack("<IHHIIHH", 16, 1, 1, espeak.RATE, 2 * espeak.RATE, 2, 16) + b"data" +
                struct.pack("<I", len(data)) + data)


# Of configs/demo: the files' name, the person's number, language and speaker, what is said.
DEMO = (
    ("woman", 10, "en", "Alicia", "Hello! I am a small model, and my lips follow every word. Papa, mama, how do you do?"),
    ("german", 15, "de", "m8", "Guten Tag! Ich bin ein kleines Modell, und meine Lippen folgen jedem Wort."),
    ("glasses", 13, "en", "Michael", "Good evening. Please remember the number five, the purple umbrella, and the beautiful village."),
)

JOB = """# Paths are relative to this file.
ckpt_dir: checkpoint
image: {name}.png
audio: {name}.wav
prompt: "{prompt}"
size: "{size}*{size}"
base_seed: 7
"""


def make(folder, synthesiser, name, n, language, speaker, words):
    """Writes portrait and speech; gives what is known of them."""
    rng = training.rng_of("portrait", n)
    person = faces.draw_person(rng)
    lead = np.zeros(int(0.3 * espeak.RATE), np.float32)
    sound, phonemes = synthesiser.speak(words, f"{language}+{speaker}", rng.randint(140, 170), rng.randint(35, 65))
    sound = np.concatenate([lead, sound, lead])
    track = controls.tracks([(begin + 0.3, sign) for begin, sign in phonemes], len(sound) / espeak.RATE)
    write_wav(os.path.join(folder, f"{name}.wav"), sound)
    portrait = dict(person, values=dict(person["values"], mimic=faces.mimic("calm")))
    picture = faces.draw(faces.stack([portrait], "cpu"), torch.zeros(1, 1, controls.COUNT), 384)
    pictures.write_png(os.path.join(folder, f"{name}.png"), picture[0, :, 0])
    frames = int(len(sound) / espeak.RATE * controls.FRAME_RATE)
    at_frames = controls.at_times(track, np.arange(frames) / controls.FRAME_RATE)
    return {"prompt": faces.prompt(person, rng), "person": person, "tracks": at_frames.round(4).tolist()}


def main(folder, count=3):
    os.makedirs(folder, exist_ok=True)
    synthesiser = espeak.Espeak(os.environ.get("ESPEAK_DATA_PATH"))
    if count == "demo":
        size = weights_file.read_recipe()["size"]
        for name, n, language, speaker, words in DEMO:
            known = make(folder, synthesiser, name, n, language, speaker, words)
            job = "job.yaml" if name == DEMO[0][0] else name + ".yaml"
            with open(os.path.join(folder, job), "w", encoding="utf-8") as f:
                f.write(JOB.format(name=name, prompt=known["prompt"], size=size))
        return
    for n in range(int(count)):
        language, words = TEXTS[n % len(TEXTS)]
        speaker = corpus.TEST_SPEAKERS[n % len(corpus.TEST_SPEAKERS)]
        known = make(folder, synthesiser, str(n), n, language, speaker, words)
        with open(os.path.join(folder, f"{n}.json"), "w", encoding="utf-8") as f:
            json.dump(known, f)


if __name__ == "__main__":
    main(*sys.argv[1:])
