"""The speech of a case of tests/data, repeated until it fills so many clips: CASE CLIPS FILE."""

import sys
import wave

SAMPLES_A_CLIP = 30720  # 48 frames at 25 a second, 16 kHz


def main():
    case, clips, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    folder = "tests/data/tiny" if case == "tiny" else f"tests/data/cases/{case}"
    with wave.open(f"{folder}/speech.wav") as speech:
        parameters = speech.getparams()
        once = speech.readframes(speech.getnframes())
    size = clips * SAMPLES_A_CLIP * parameters.sampwidth * parameters.nchannels
    with wave.open(file, "wb") as repeated:
        repeated.setparams(parameters)
        repeated.writeframes((once * (size // len(once) + 1))[:size])


main()
