"""Writes speech with its control tracks: make_speech.py OUT.npz COUNT [SECONDS] [FIRST_SEED] [test]

`test` takes the voices that training never hears. Needs espeak-ng (ESPEAK_DATA_PATH may name the folder that holds
espeak-ng-data)."""

import sys

import numpy as np

import corpus
import speech


def main(arguments):
    path, count = arguments[0], int(arguments[1])
    seconds = int(arguments[2]) if len(arguments) > 2 else 10
    first = int(arguments[3]) if len(arguments) > 3 else 1_000_000
    speakers = corpus.TEST_SPEAKERS if arguments[4:] == ["test"] else corpus.SPEAKERS
    samples, tracks = speech.many(first, count, seconds, speakers=speakers)
    np.savez(path, samples=samples, tracks=tracks)
    print(f"{path}: {count} pieces of {seconds} s")


if __name__ == "__main__":
    main(sys.argv[1:])
