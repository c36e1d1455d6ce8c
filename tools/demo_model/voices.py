"""Voices that nobody has: variants of espeak-ng's with other formants, tones and breath, so that the speech encoder meets
more throats than the synthesiser brings."""

import os
import random
import shutil

KLATT = 0.15  # how many are of the synthesiser's other kind


def _formant(rng, number, size):
    spread = 0.05 if number == 0 else 0.16 if number < 3 else 0.3
    frequency = 100 * size * rng.uniform(1 - spread, 1 + spread)
    return f"formant {number} {frequency:.0f} {rng.uniform(45, 170):.0f} {rng.uniform(50, 170):.0f}"


def describe(rng, name):
    """The text of a variant's file."""
    low = rng.uniform(60, 220)
    size = rng.uniform(0.8, 1.42)
    lines = ["language variant", f"name {name}", f"pitch {low:.0f} {low * rng.uniform(1.3, 1.7):.0f}"]
    if rng.random() < KLATT:
        lines.append(f"klatt {rng.randint(1, 6)}")
        lines += [f"formant {i} {100 * min(size, 1.2) * rng.uniform(0.9, 1.1):.0f} 100 100" for i in range(1, 4)]
        return "\n".join(lines) + "\n"
    lines += [_formant(rng, i, size) for i in range(9)]
    if rng.random() < 0.4:
        heights = (255, rng.randint(40, 200), rng.randint(15, 140), rng.randint(20, 140), rng.randint(0, 110))
        lines.append("tone " + " ".join(f"{f} {h}" for f, h in zip((100, 600, 1200, 2000, 3000), heights)))
    if rng.random() < 0.5:
        lines.append(f"voicing {rng.randint(35, 140)}")
    if rng.random() < 0.5:
        lines.append(f"consonants {rng.randint(30, 130)} {rng.randint(20, 130)}")
    if rng.random() < 0.4:
        lines.append("breath " + " ".join(str(rng.randint(0, 5)) for _ in range(8)))
        lines.append("breathw 150 150 200 200 400 400")
    if rng.random() < 0.3:
        lines.append(f"roughness {rng.randint(1, 5)}")
    if rng.random() < 0.3:
        lines.append(f"flutter {rng.randint(0, 12)}")
    if rng.random() < 0.25:
        lines.append(f"echo {rng.randint(10, 120)} {rng.randint(5, 45)}")
    if rng.random() < 0.3:
        lines.append("stressAmp " + " ".join(str(rng.randint(12, 22)) for _ in range(8)))
    return "\n".join(lines) + "\n"


def invent(data, folder, kept, count, seed):
    """Fills FOLDER/espeak-ng-data with links to what the folder `data` holds, the variants `kept`, and `count` new ones,
    whose names it gives. The synthesiser knows 349 voices at most, languages and variants together."""
    target = os.path.join(folder, "espeak-ng-data")
    os.makedirs(target)
    for entry in os.listdir(data):
        if entry != "voices":
            os.symlink(os.path.join(os.path.abspath(data), entry), os.path.join(target, entry))
    shutil.copytree(os.path.join(data, "voices"), os.path.join(target, "voices"))
    variants = os.path.join(target, "voices", "!v")
    for name in set(os.listdir(variants)) - set(kept):
        os.remove(os.path.join(variants, name))
    names = [f"new{i}" for i in range(count)]
    for name in names:
        with open(os.path.join(variants, name), "w", encoding="utf-8") as f:
            f.write(describe(random.Random(f"{seed}/{name}"), name))
    return names
