"""Draws the logs of the training as curves: curves.py FILE.png LOG.jsonl [LOG.jsonl …]. Logs of sittings that follow one
another; one file may hold those of several networks. Needs matplotlib."""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def read(paths, key):
    """Runs that follow one another -> [(step, value)]."""
    points, before = [], 0
    for path in paths:
        last = 0
        with open(path, encoding="utf-8") as f:
            for line in map(json.loads, f):
                if "step" in line and key(line):
                    points.append((before + line["step"], key(line)))
                    last = line["step"]
        before += last
    return zip(*points)


def main(picture, *logs):
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3), dpi=80)
    left.plot(*read(logs, lambda line: line.get("psnr")), linewidth=1)
    left.set(title="autoencoder: PSNR of squares, dB", xlabel="step")
    middle.plot(*read(logs, lambda line: "psnr" not in line and line.get("loss")), linewidth=1)
    middle.set(title="speech encoder: loss", xlabel="step")
    for name, text in (("errors", "everywhere"), ("mouth", "around the mouth")):
        right.semilogy(*read(logs, lambda line: line.get(name, [0])[0]), linewidth=1, label=text)
    right.set(title="transformer: squared error, first step", xlabel="step")
    right.legend(loc="upper right")
    for part in (left, middle, right):
        part.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
