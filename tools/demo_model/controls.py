"""What the face does: tracks of control values, drawn from phonemes and their times.

Everything that moves is a function of the sound within about half a second: so a picture and a sound determine the
video, and a small network can learn it without having to guess."""

import numpy as np

FRAME_RATE = 25
TRACK_RATE = 100  # steps a second of the tracks below
NAMES = ("open", "wide", "blink", "yaw", "pitch", "roll", "brow")
COUNT = len(NAMES)

# IPA -> how far the mouth opens (0..1) and how wide it is (-1 rounded .. 1 spread)
_VOWELS = {
    "a": (0.95, 0.15), "ɑ": (1.0, 0.0), "ɐ": (0.8, 0.1), "æ": (0.85, 0.5), "ʌ": (0.75, 0.1), "ɒ": (0.8, -0.45),
    "e": (0.5, 0.7), "ɛ": (0.6, 0.6), "ə": (0.4, 0.1), "ɜ": (0.45, 0.0), "ɚ": (0.4, -0.1), "ɝ": (0.45, -0.1),
    "i": (0.28, 1.0), "ɪ": (0.35, 0.75), "ᵻ": (0.35, 0.6), "y": (0.25, -0.85), "ʏ": (0.3, -0.75),
    "ø": (0.45, -0.7), "œ": (0.55, -0.6), "o": (0.55, -0.8), "ɔ": (0.7, -0.65), "u": (0.25, -1.0),
    "ʊ": (0.35, -0.8), "ɨ": (0.3, 0.5), "ɵ": (0.35, -0.6),
}
_CONSONANTS = {
    "p": (0.0, 0.0), "b": (0.0, 0.0), "m": (0.0, 0.0), "f": (0.08, 0.15), "v": (0.08, 0.15), "w": (0.18, -0.95),
    "ʃ": (0.2, -0.5), "ʒ": (0.2, -0.5), "ɹ": (0.25, -0.4), "r": (0.28, 0.0), "ɾ": (0.25, 0.1), "ʁ": (0.3, 0.0),
    "s": (0.12, 0.5), "z": (0.12, 0.5), "θ": (0.2, 0.2), "ð": (0.2, 0.2), "t": (0.18, 0.3), "d": (0.18, 0.3),
    "n": (0.2, 0.25), "l": (0.3, 0.2), "ɫ": (0.3, 0.0), "k": (0.25, 0.1), "ɡ": (0.25, 0.1), "g": (0.25, 0.1),
    "ŋ": (0.25, 0.1), "x": (0.25, 0.0), "ç": (0.2, 0.5), "h": (0.35, 0.1), "j": (0.25, 0.7), "ɲ": (0.2, 0.4),
    "ʎ": (0.25, 0.4), "β": (0.08, 0.0), "ɣ": (0.25, 0.1), "ɥ": (0.18, -0.8), "ʔ": (0.3, 0.0), "c": (0.2, 0.4),
}
_CLOSED = set("pbm")


def mouth_of(phoneme):
    """(open, wide, lips closed, silent) of one of espeak-ng's phonemes; diphthongs take the mean of their halves."""
    shapes = [_VOWELS.get(c) or _CONSONANTS.get(c) for c in phoneme]
    shapes = [s for s in shapes if s]
    if not shapes:
        return 0.0, 0.0, 0.0, 1.0
    opened, wide = (sum(s[i] for s in shapes) / len(shapes) for i in (0, 1))
    return opened, wide, float(phoneme[0] in _CLOSED), 0.0


def _smooth(track, seconds):
    """Gaussian of this standard deviation."""
    sigma = seconds * TRACK_RATE
    reach = int(3 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.convolve(np.pad(track, reach, mode="edge"), kernel / kernel.sum(), mode="valid")


def tracks(phonemes, seconds):
    """[(begin, IPA)] -> [steps, COUNT] at TRACK_RATE a second: NAMES, open and blink and brow 0..1, the rest -1..1."""
    steps = int(round(seconds * TRACK_RATE)) + 1
    raw = np.zeros((4, steps))
    raw[3] = 1.0
    ends = [begin for begin, _ in phonemes[1:]] + [seconds]
    for (begin, name), end in zip(phonemes, ends):
        raw[:, int(round(begin * TRACK_RATE)):int(round(end * TRACK_RATE))] = np.array(mouth_of(name))[:, None]
    opened, wide, closed, silent = raw
    # Neighbours colour each other; rounding is prepared earlier than opening, lips that must meet do meet.
    opened = _smooth(opened, 0.032)
    wide = _smooth(wide, 0.045)
    shut = np.clip(_smooth(closed, 0.018) * 1.5, 0, 1)
    opened = opened * (1 - shut)
    rest = _smooth(silent, 0.05)
    slow_open, slow_wide = _smooth(opened, 0.22), _smooth(wide, 0.25)
    # Eyes close for a moment where a pause begins, and once more where speech comes back.
    edge = np.diff(_smooth(silent, 0.03), prepend=silent[0]) * TRACK_RATE
    blink = np.clip(_smooth(np.clip(edge, 0, None), 0.04) * 0.22 - 0.25, 0, 1)
    blink = np.clip(blink + np.clip(_smooth(np.clip(-edge, 0, None), 0.04) * 0.22 - 0.9, 0, 1), 0, 1)
    yaw = np.clip(2.2 * _smooth(slow_wide, 0.1), -1, 1)
    pitch = np.clip(3.0 * (slow_open - 0.28) * (1 - _smooth(silent, 0.25)), -1, 1)
    roll = np.clip(2.5 * (_smooth(opened, 0.3) - _smooth(opened, 0.15)) + 0.8 * slow_wide, -1, 1)
    brow = np.clip(2.0 * (_smooth(opened, 0.12) - 0.25), 0, 1) * (1 - rest)
    return np.stack([opened, wide * (1 - rest), blink, yaw, pitch, roll, brow], 1).astype(np.float32)


def at_times(track, times):
    """Linear interpolation at the given seconds; the last value holds on after the end."""
    position = np.clip(np.asarray(times) * TRACK_RATE, 0, len(track) - 1)
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, len(track) - 1)
    part = (position - low)[:, None].astype(np.float32)
    return track[low] * (1 - part) + track[high] * part
