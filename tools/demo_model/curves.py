"""Draws the logs of the training as curves: curves.py FILE.png VAE.jsonl[,MORE] DIT.jsonl[,MORE]. Needs matplotlib."""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def read(paths, key):
    """Runs that follow one another -> [(step, value)]."""
    points, before = [], 0
    for path in paths.split(","):
        last = 0
        with open(path, encoding="utf-8") as f:
            for line in map(json.loads, f):
                if "step" in line and key(line) is not None:
                    points.append((before + line["step"], key(line)))
                    last = line["step"]
        before += last
    return zip(*points)


def main(picture, vae, dit):
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), dpi=80)
    left.plot(*read(vae, lambda line: line.get("psnr")), linewidth=1)
    left.set(title="autoencoder: PSNR of squares in training, dB", xlabel="step")
    right.semilogy(*read(dit, lambda line: line.get("errors", [0])[0] or None), linewidth=1)
    right.set(title="transformer: squared error of latents, first step", xlabel="step")
    for part in (left, right):
        part.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
