"""Writes speech with its control tracks: make_speech.py OUT.npz COUNT [SECONDS] [FIRST_SEED] [test | VOICES]

`test` takes the voices that training never hears; VOICES, a number, adds so many invented ones to those it hears. Needs
espeak-ng (ESPEAK_DATA_PATH may name the folder that holds espeak-ng-data)."""

import os
import sys
import tempfile

import numpy as np

import corpus
import espeak
import speech
import voices


def speakers_of(kind, folder, seed):
    """Names of variants; invented ones are put into `folder`, where the synthesiser then finds them."""
    if kind == "test":
        return corpus.TEST_SPEAKERS
    if int(kind) == 0:
        return corpus.SPEAKERS
    new = voices.invent(espeak.Espeak(os.environ.get("ESPEAK_DATA_PATH")).data(), folder,
                        corpus.SPEAKERS, int(kind), seed)
    os.environ["ESPEAK_DATA_PATH"] = folder
    return corpus.SPEAKERS * max(1, len(new) // (2 * len(corpus.SPEAKERS))) + tuple(new)  # a third are the old ones


def main(arguments):
    path, count = arguments[0], int(arguments[1])
    seconds = int(arguments[2]) if len(arguments) > 2 else 10
    first = int(arguments[3]) if len(arguments) > 3 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        speakers = speakers_of(arguments[4] if len(arguments) > 4 else "0", folder, first)
        samples, tracks = speech.many(first, count, seconds, speakers=speakers)
    np.savez(path, samples=samples, tracks=tracks)
    print(f"{path}: {count} pieces of {seconds} s")


if __name__ == "__main__":
    main(sys.argv[1:])
