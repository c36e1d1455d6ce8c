"""Speech of a given length with its control tracks, made by several processes at once."""

import concurrent.futures
import multiprocessing
import os
import random

import numpy as np

import controls
import corpus
import espeak

_synthesiser = None


def _start():
    global _synthesiser  # one a process is all that the library allows
    _synthesiser = espeak.Espeak(os.environ.get("ESPEAK_DATA_PATH"))


def one(seed, seconds, speakers=corpus.SPEAKERS):
    """(samples float16 [seconds · 16000], tracks float16 [seconds · 100 + 1, COUNT]) of speech with pauses."""
    draw = random.Random(seed)
    sounds, spoken, at = [], [], 0.0
    at = draw.choice((0.0, 0.1, 0.4, 0.9))
    sounds.append(np.zeros(int(at * espeak.RATE), np.float32))
    at = len(sounds[0]) / espeak.RATE
    common = corpus.utterance(draw, speakers)
    while at < seconds:
        words = corpus.utterance(draw, speakers)
        if draw.random() < 0.6:
            words = dict(common, text=words["text"]) if words["voice"][:2] == common["voice"][:2] else words
        sound, phonemes = _synthesiser.speak(**words)
        if len(sound) == 0:
            continue
        spoken += [(at + begin, name) for begin, name in phonemes] + [(at + len(sound) / espeak.RATE, "")]
        pause = np.zeros(int(draw.choice((0.0, 0.15, 0.3, 0.6, 1.2)) * espeak.RATE), np.float32)
        sounds += [sound * draw.uniform(0.5, 1.3), pause]
        at += (len(sound) + len(pause)) / espeak.RATE
    noise = np.random.default_rng(seed)
    all_of_it = np.concatenate(sounds)[:int(seconds * espeak.RATE)]
    if draw.random() < 0.5:
        all_of_it = all_of_it + noise.standard_normal(len(all_of_it)).astype(np.float32) * 10 ** draw.uniform(-4, -2)
    track = controls.tracks([p for p in spoken if p[0] < seconds], seconds)
    return all_of_it.astype(np.float16), track.astype(np.float16)


def many(first_seed, count, seconds, processes=None, speakers=corpus.SPEAKERS):
    """Arrays of `count` pieces: samples [count, seconds · 16000], tracks [count, seconds · 100 + 1, COUNT]."""
    processes = processes or min(15, os.cpu_count())
    if processes == 1:
        _start()
        made = [one(first_seed + i, seconds, speakers) for i in range(count)]
    else:
        with concurrent.futures.ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _start) as pool:
            made = list(pool.map(one, range(first_seed, first_seed + count), [seconds] * count, [speakers] * count,
                                 chunksize=4))
    return tuple(np.stack([m[i] for m in made]) for i in (0, 1))
