"""Draws the demo's portrait with numpy alone: draw_portrait.py SIZE OUT.png

Every shape is a signed distance in a square that reaches from -1 to 1; its edge is as soft as a pixel is wide.
"""

import struct
import sys
import zlib

import numpy as np


class Canvas:
    def __init__(self, size):
        axis = (np.arange(size) + 0.5) / size * 2 - 1
        self.x, self.y = np.meshgrid(axis, axis)
        self.pixel = 2 / size
        self.image = np.zeros((size, size, 3))

    def paint(self, distance, colour, soft=0.0, strength=1.0, within=None):
        """Covers the places where `distance` is negative; `soft` widens the edge, though not past that of `within`."""
        cover = np.clip(0.5 - distance / (self.pixel + soft), 0, 1)
        cover = cover * cover * (3 - 2 * cover) * strength
        if within is not None:
            cover *= np.clip(0.5 - within / self.pixel, 0, 1)
        cover = cover[..., None]
        self.image = self.image * (1 - cover) + np.asarray(colour) * cover

    def ellipse(self, cx, cy, rx, ry, tilt=0.0):
        c, s = np.cos(tilt), np.sin(tilt)
        dx, dy = self.x - cx, self.y - cy
        u, v = (c * dx + s * dy) / rx, (c * dy - s * dx) / ry
        length = np.sqrt(u * u + v * v)
        slope = np.sqrt((u / rx) ** 2 + (v / ry) ** 2)
        return (length - 1) * length / np.maximum(slope, 1e-9)

    def curve(self, start, bend, end, width):
        """A stroke along a quadratic curve, thinner towards its ends."""
        best = np.full_like(self.x, 9.0)
        for t in np.linspace(0, 1, 60):
            px, py = (np.dot([(1 - t) ** 2, 2 * t * (1 - t), t * t], axis) for axis in zip(start, bend, end))
            radius = width * (0.35 + 0.65 * np.sin(np.pi * t))
            best = np.minimum(best, np.hypot(self.x - px, self.y - py) - radius)
        return best


SKIN, SHADE, BLUSH = (0.93, 0.75, 0.64), (0.80, 0.58, 0.47), (0.90, 0.55, 0.48)
HAIR, HAIR_LIGHT = (0.23, 0.14, 0.11), (0.38, 0.25, 0.19)
SHIRT, SHIRT_DARK, COLLAR = (0.23, 0.40, 0.58), (0.16, 0.29, 0.45), (0.90, 0.92, 0.94)
WHITE, DARK, IRIS = (0.97, 0.97, 0.96), (0.10, 0.08, 0.08), (0.28, 0.42, 0.38)
LIP, LIP_DARK = (0.76, 0.36, 0.35), (0.50, 0.20, 0.21)


def background(c):
    light = np.exp(-((c.x + 0.35) ** 2 + (c.y + 0.45) ** 2) / 1.1)[..., None]
    c.image = np.array([0.36, 0.50, 0.52]) * (1 - light) + np.array([0.80, 0.86, 0.82]) * light


def body(c):
    c.paint(c.ellipse(0, 0.02, 0.56, 0.74), HAIR)  # hair behind the neck
    shirt = c.ellipse(0, 1.22, 0.95, 0.62)
    c.paint(shirt, SHIRT)
    c.paint(c.ellipse(0.70, 1.30, 0.40, 0.55), SHIRT_DARK, soft=0.5, strength=0.8, within=shirt)
    c.paint(c.ellipse(0, 0.74, 0.30, 0.20), COLLAR)
    neck = np.maximum(np.abs(c.x) - 0.20, np.abs(c.y - 0.50) - 0.26)
    c.paint(np.minimum(neck, c.ellipse(0, 0.74, 0.20, 0.14)), SKIN)
    c.paint(c.ellipse(0, 0.40, 0.36, 0.22), SHADE, soft=0.12, strength=0.75, within=neck)


def head(c):
    c.paint(c.ellipse(0.47, 0.0, 0.06, 0.13, 0.15), SHADE)  # the other ear is under the hair
    face = np.minimum(c.ellipse(0, -0.08, 0.46, 0.52), c.ellipse(0, 0.16, 0.37, 0.42))
    c.paint(face, SKIN)
    c.paint(-c.ellipse(-0.10, 0.0, 0.50, 0.66), SHADE, soft=0.25, strength=0.7, within=face)
    for side in (-1, 1):
        c.paint(c.ellipse(side * 0.25, 0.17, 0.11, 0.08), BLUSH, soft=0.14, strength=0.35, within=face)
    fringe = np.maximum(c.ellipse(0, -0.16, 0.54, 0.56), -c.ellipse(0.10, 0.16, 0.50, 0.60, 0.12))
    c.paint(fringe, HAIR)
    for start, bend, end in (((-0.40, -0.40), (-0.10, -0.72), (0.30, -0.58)), ((-0.44, -0.28), (-0.20, -0.60), (0.18, -0.66))):
        c.paint(c.curve(start, bend, end, 0.020), HAIR_LIGHT, soft=0.03, strength=0.6)


def eyes(c):
    for side in (-1, 1):
        cx, cy = side * 0.185, -0.04
        opening = np.maximum(c.ellipse(cx, cy + 0.035, 0.105, 0.085), c.ellipse(cx, cy - 0.035, 0.105, 0.085))
        c.paint(opening, WHITE)
        for radius, colour in ((0.050, IRIS), (0.025, DARK)):
            c.paint(np.maximum(opening, c.ellipse(cx, cy - 0.002, radius, radius)), colour)
        c.paint(c.ellipse(cx - 0.018, cy - 0.020, 0.011, 0.011), WHITE)
        c.paint(c.curve((cx - 0.10, cy + 0.01), (cx, cy - 0.10), (cx + 0.10, cy + 0.01), 0.010), DARK)
        c.paint(c.curve((cx - 0.11, cy - 0.12), (cx - side * 0.02, cy - 0.21), (cx + 0.11, cy - 0.12), 0.020), HAIR)


def nose_and_mouth(c):
    c.paint(c.curve((0.035, 0.00), (0.075, 0.12), (0.045, 0.165), 0.012), SHADE, soft=0.03, strength=0.8)
    c.paint(c.curve((-0.055, 0.165), (0.0, 0.205), (0.055, 0.165), 0.010), SHADE, soft=0.01)
    upper = np.maximum(c.ellipse(0, 0.36, 0.165, 0.075), c.y - 0.325 + 0.3 * c.x ** 2)
    lower = np.maximum(c.ellipse(0, 0.27, 0.150, 0.115), 0.315 - c.y)
    c.paint(np.minimum(upper, lower), LIP)
    c.paint(c.curve((-0.165, 0.305), (0.0, 0.355), (0.165, 0.305), 0.011), LIP_DARK)
    c.paint(c.ellipse(-0.02, 0.358, 0.06, 0.010), (0.88, 0.55, 0.53), soft=0.02, strength=0.6)


def write_png(path, image):
    height, width, _ = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def main(size, path):
    canvas = Canvas(int(size))
    for part in (background, body, head, eyes, nose_and_mouth):
        part(canvas)
    write_png(path, np.round(canvas.image.clip(0, 1) * 255).astype(np.uint8))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.splitlines()[0])
    main(*sys.argv[1:])
