"""The speech of a case of tests/data, repeated until it fills so many clips: CASE CLIPS FRAMES FILE.

FRAMES is what a clip has, 25 a second; the speech has 16 kHz."""

import sys
import wave

SAMPLES_A_FRAME = 16000 // 25


def main():
    case, clips, frames, file = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    folder = "tests/data/tiny" if case == "tiny" else f"tests/data/cases/{case}"
    with wave.open(f"{folder}/speech.wav") as speech:
        parameters = speech.getparams()
        once = speech.readframes(speech.getnframes())
    size = clips * frames * SAMPLES_A_FRAME * parameters.sampwidth * parameters.nchannels
    with wave.open(file, "wb") as repeated:
        repeated.setparams(parameters)
        repeated.writeframes((once * (size // len(once) + 1))[:size])


main()
