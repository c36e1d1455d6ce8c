"""Draws portraits and speaks speeches that training never saw: make_demo.py FOLDER [COUNT]

Writes N.png, N.wav and N.json (prompt, person, tracks at 25 a second) for N = 0 … COUNT - 1."""

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


def main(folder, count=3):
    os.makedirs(folder, exist_ok=True)
    synthesiser = espeak.Espeak(os.environ.get("ESPEAK_DATA_PATH"))
    for n in range(int(count)):
        rng = training.rng_of("portrait", n)
        person = faces.draw_person(rng)
        language, text = TEXTS[n % len(TEXTS)]
        speaker = corpus.TEST_SPEAKERS[n % len(corpus.TEST_SPEAKERS)]
        lead = np.zeros(int(0.3 * espeak.RATE), np.float32)
        sound, phonemes = synthesiser.speak(text, f"{language}+{speaker}", rng.randint(140, 170), rng.randint(35, 65))
        sound = np.concatenate([lead, sound, lead])
        track = controls.tracks([(begin + 0.3, name) for begin, name in phonemes], len(sound) / espeak.RATE)
        write_wav(os.path.join(folder, f"{n}.wav"), sound)
        portrait = dict(person, values=dict(person["values"], mimic=faces.mimic("calm")))
        picture = faces.draw(faces.stack([portrait], "cpu"), torch.zeros(1, 1, controls.COUNT), 384)
        pictures.write_png(os.path.join(folder, f"{n}.png"), picture[0, :, 0])
        frames = int(len(sound) / espeak.RATE * controls.FRAME_RATE)
        at_frames = controls.at_times(track, np.arange(frames) / controls.FRAME_RATE)
        with open(os.path.join(folder, f"{n}.json"), "w", encoding="utf-8") as f:
            json.dump({"prompt": faces.prompt(person, rng), "person": person, "tracks": at_frames.round(4).tolist()}, f)


if __name__ == "__main__":
    main(*sys.argv[1:])
