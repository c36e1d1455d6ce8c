"""Parametric faces, drawn anti-aliased from signed distances, many at a time, on any device."""

import math
import random

import torch

BACKGROUNDS = {
    "white": (0.93, 0.93, 0.91), "grey": (0.60, 0.62, 0.64), "blue": (0.36, 0.55, 0.80), "green": (0.42, 0.66, 0.45),
    "red": (0.78, 0.36, 0.34), "yellow": (0.93, 0.82, 0.45), "purple": (0.56, 0.44, 0.70), "orange": (0.93, 0.62, 0.36),
    "brown": (0.52, 0.40, 0.31), "dark": (0.17, 0.19, 0.24),
}
HAIRS = {
    "black": (0.10, 0.09, 0.09), "brown": (0.33, 0.21, 0.13), "blonde": (0.86, 0.70, 0.40), "red": (0.66, 0.27, 0.12),
    "grey": (0.62, 0.62, 0.63),
}
SKINS = ((0.97, 0.83, 0.74), (0.92, 0.75, 0.62), (0.83, 0.63, 0.48), (0.65, 0.45, 0.32), (0.45, 0.30, 0.21))
IRISES = ((0.25, 0.45, 0.70), (0.33, 0.52, 0.33), (0.38, 0.24, 0.14), (0.35, 0.38, 0.42))
CLOTHES = ((0.20, 0.28, 0.46), (0.55, 0.20, 0.24), (0.22, 0.42, 0.33), (0.30, 0.30, 0.32), (0.85, 0.84, 0.80),
           (0.72, 0.52, 0.30), (0.42, 0.30, 0.52))
EXPRESSIONS = ("calm", "smiling", "sad", "surprised")
# What an expression does: corners of the mouth up, brows up, brows' inner ends up, eyes wider.
_MIMICS = {"calm": (0.12, 0.0, 0.0, 0.0), "smiling": (1.0, 0.15, 0.0, -0.12), "sad": (-0.75, 0.0, 0.8, -0.08),
           "surprised": (0.0, 0.9, 0.1, 0.28)}


def draw_person(rng):
    """One person: a dict of names for the prompt and numbers for the picture."""
    hair, background, expression = (rng.choice(list(x)) for x in (HAIRS, BACKGROUNDS, EXPRESSIONS))
    woman, long_hair = rng.random() < 0.5, rng.random() < 0.5
    jitter = lambda colour, by: [min(1.0, max(0.0, c + rng.uniform(-by, by))) for c in colour]
    skin = jitter(rng.choice(SKINS), 0.03)
    values = {
        "background": jitter(BACKGROUNDS[background], 0.03), "hair": jitter(HAIRS[hair], 0.03), "skin": skin,
        "iris": jitter(rng.choice(IRISES), 0.04), "cloth": jitter(rng.choice(CLOTHES), 0.05),
        "lip": [skin[0] * 0.86 + 0.04, skin[1] * 0.58, skin[2] * (0.62 if woman else 0.68)],
        "width": [rng.uniform(0.36, 0.43)], "height": [rng.uniform(0.49, 0.56)], "jaw": [rng.uniform(-0.15, 0.2)],
        "eyes": [rng.uniform(0.155, 0.19)], "eye": [rng.uniform(0.075, 0.092)], "brow": [rng.uniform(0.016, 0.03)],
        "nose": [rng.uniform(0.035, 0.055)], "mouth": [rng.uniform(0.115, 0.145)], "lips": [rng.uniform(0.020, 0.034)],
        "long": [float(long_hair)], "fringe": [rng.uniform(-0.1, 0.25)], "glasses": [float(rng.random() < 0.2)],
        "beard": [float(not woman and rng.random() < 0.25)], "light": [rng.uniform(-0.16, 0.16)],
        "glow": [rng.uniform(0.0, 0.12)], "place": [rng.uniform(-0.06, 0.06), rng.uniform(-0.02, 0.06)],
        "scale": [rng.uniform(0.98, 1.12)], "mimic": list(_MIMICS[expression]),
    }
    return {"sex": "woman" if woman else "man", "hair": hair, "long": long_hair, "background": background,
            "expression": expression, "glasses": bool(values["glasses"][0]), "beard": bool(values["beard"][0]),
            "values": values}


def mimic(expression):
    return list(_MIMICS[expression])


def stack(people, device):
    """People's numbers as tensors: [people] for single numbers, [people, n] for colours and the like."""
    values = {key: torch.tensor([p["values"][key] for p in people], dtype=torch.float32, device=device)
              for key in people[0]["values"]}
    return {key: value.squeeze(1) if value.shape[1] == 1 else value for key, value in values.items()}


class Canvas:
    """Pictures [n, 3, part, part] in 0..1 that shapes are laid over, parts of ones of size × size whose places are in
    -1..1, y downwards. corners [n, 2]: where the parts begin, x and y in pixels."""

    def __init__(self, size, part, corners):
        line = torch.arange(part, device=corners.device) + 0.5
        self.x = (line.view(1, 1, part) + corners[:, 0].view(-1, 1, 1)) * (2 / size) - 1
        self.y = (line.view(1, part, 1) + corners[:, 1].view(-1, 1, 1)) * (2 / size) - 1
        self.pixel = 2 / size
        self.picture = None

    def cover(self, distance):
        return (0.5 - distance / self.pixel).clamp(0, 1)

    def lay(self, cover, colour):
        """colour [n, 3] or [n, 3, h, w] where cover [n, h, w] is 1."""
        if colour.dim() == 2:
            colour = colour[:, :, None, None]
        self.picture = torch.lerp(self.picture, colour.expand_as(self.picture), cover.unsqueeze(1))


def _v(t):
    return t.view(-1, 1, 1)


def ellipse(x, y, cx, cy, rx, ry):
    """Signed distance, nearly, of an ellipse; all but x and y are [n]."""
    px, py = x - _v(cx), y - _v(cy)
    rx, ry = _v(rx).clamp_min(1e-3), _v(ry).clamp_min(1e-3)
    k0 = ((px / rx).square() + (py / ry).square()).clamp_min(1e-8).sqrt()
    k1 = ((px / rx.square()).square() + (py / ry.square()).square()).clamp_min(1e-8).sqrt()
    return k0 * (k0 - 1) / k1


def segment(x, y, ax, ay, bx, by, radius):
    px, py = x - _v(ax), y - _v(ay)
    dx, dy = _v(bx - ax), _v(by - ay)
    t = ((px * dx + py * dy) / (dx * dx + dy * dy).clamp_min(1e-8)).clamp(0, 1)
    return ((px - t * dx).square() + (py - t * dy).square()).clamp_min(1e-10).sqrt() - _v(radius)


def _wall(c, p):
    shade = (1 + _v(p["light"]) * c.x - 0.10 * c.y).unsqueeze(1)
    glow = (_v(p["glow"]) * torch.exp(-((c.x - 0.4).square() + (c.y + 0.5).square()) / 0.35)).unsqueeze(1)
    c.picture = (p["background"][:, :, None, None] * shade + glow).clamp(0, 1)


def _body(c, p, look):
    zero = torch.zeros_like(look["cx"])
    sway = 0.25 * look["cx"]
    c.lay(c.cover(ellipse(c.x, c.y, sway, zero + 1.12, zero + 0.80, zero + 0.50)), p["cloth"])
    c.lay(c.cover(segment(c.x, c.y, 0.6 * look["cx"], look["cy"] + 0.3, sway, zero + 0.72, 0.46 * p["width"])),
          p["skin"] * 0.82)
    c.lay(c.cover(ellipse(c.x, c.y, sway, zero + 0.66, zero + 0.24, zero + 0.09)), p["skin"] * 0.90)


def _pose(p, controls):
    """Where the head is: its middle, its tilt, and how far its front is turned."""
    yaw, pitch, roll = controls[:, 3], controls[:, 4], controls[:, 5]
    return {"cx": p["place"][:, 0] + 0.03 * yaw, "cy": p["place"][:, 1] - 0.10 + 0.02 * pitch, "angle": 0.055 * roll,
            "fx": 0.035 * yaw, "fy": 0.03 * pitch}


def _head_frame(c, look, scale):
    """Coordinates that turn with the head, about the neck."""
    px, py = c.x - _v(look["cx"]), c.y - _v(look["cy"]) - 0.4
    cos, sin = _v(torch.cos(look["angle"])), _v(torch.sin(look["angle"]))
    s = _v(scale)
    return (cos * px + sin * py) / s, (cos * py - sin * px + 0.4) / s


def _head(c, p, look, x, y):
    zero = torch.zeros_like(look["cx"])
    w, h = p["width"], p["height"]
    if_long = 1 - 0.75 * p["long"]
    for side in (-1, 1):
        ear = ellipse(x, y, side * w * 0.99 + 0.3 * look["fx"], zero + 0.03 + 0.3 * look["fy"], zero + 0.05, zero + 0.09)
        c.lay(c.cover(ear) * _v(if_long), p["skin"] * 0.90)
    # The lower half is narrower the stronger the jaw's taper.
    taper = 1 + _v(p["jaw"]) * (y.clamp(0, 0.6)) * 0.9
    face = ellipse(x * taper, y, 0.3 * look["fx"], zero, w, h)
    tone = (1 + 0.9 * _v(p["light"]) * x - 0.14 * (y + 0.1).clamp_min(0)).unsqueeze(1)
    c.lay(c.cover(face), (p["skin"][:, :, None, None] * tone).clamp(0, 1))
    chin = ellipse(x * taper, y, 0.6 * look["fx"], h * 0.62 + look["fy"], w * 0.72, h * 0.42)
    rough = (0.5 - torch.maximum(chin, face + 0.015) / 0.06).clamp(0, 1) * _v(p["beard"]) * 0.75
    c.lay(rough, p["hair"])
    line = -h * 0.52 + 0.5 * look["fy"]
    fringe = _v(line) + _v(p["fringe"]) * (x - 0.4 * _v(look["fx"])) + 0.55 * (x - 0.5 * _v(look["fx"])).square()
    top = torch.maximum(ellipse(x, y, 0.2 * look["fx"], zero - 0.05, w * 1.10, h * 1.06), (y - fringe) * 0.9)
    c.lay(c.cover(top), p["hair"])


def _eyes(c, p, look, x, y, controls):
    zero = torch.zeros_like(look["cx"])
    mimic, blink = p["mimic"], controls[:, 2]
    lift = 0.045 * controls[:, 6] + 0.055 * mimic[:, 1]
    ey = zero - 0.075 + look["fy"]
    open_height = p["eye"] * 0.62 * (1 + mimic[:, 3]) * (1 - blink)
    for side in (-1, 1):
        ex = side * p["eyes"] + look["fx"]
        eye = ellipse(x, y, ex, ey, p["eye"], open_height.clamp_min(0.012))
        white = c.cover(eye) * _v((open_height / 0.012).clamp(0, 1))
        socket = ellipse(x, y, ex, ey, p["eye"], open_height.clamp_min(0.018))
        c.lay((0.5 - (socket - 0.012) / 0.02).clamp(0, 1) * 0.55, p["skin"] * 0.55)
        c.lay(white, torch.full_like(p["skin"], 0.96))
        iris = ellipse(x, y, ex + 0.25 * look["fx"], ey + 0.2 * look["fy"], zero + 0.042, zero + 0.042)
        c.lay(c.cover(iris) * white, p["iris"])
        c.lay(c.cover(iris + 0.021) * white, torch.full_like(p["skin"], 0.05))
        lid = segment(x, y, ex - p["eye"], ey - 0.5 * open_height, ex + p["eye"], ey - 0.5 * open_height, zero + 0.008)
        c.lay(c.cover(lid) * _v((1 - open_height / 0.02).clamp(0, 1)), p["skin"] * 0.35)
        by = ey - 0.125 - lift
        inner, outer = ex - side * 0.075, ex + side * 0.085
        brow = segment(x, y, inner, by - 0.05 * mimic[:, 2] + 0.006, outer, by + 0.03 * mimic[:, 2] + 0.012, p["brow"])
        c.lay(c.cover(brow), p["hair"] * 0.75)
        frame = ellipse(x, y, ex, ey + 0.01, zero + 0.125, zero + 0.105).abs() - 0.010
        c.lay(c.cover(frame) * _v(p["glasses"]), torch.full_like(p["skin"], 0.08))
    bridge = segment(x, y, look["fx"] - p["eyes"] + 0.12, ey, look["fx"] + p["eyes"] - 0.12, ey, zero + 0.010)
    c.lay(c.cover(bridge) * _v(p["glasses"]), torch.full_like(p["skin"], 0.08))


def _nose(c, p, look, x, y):
    zero = torch.zeros_like(look["cx"])
    nx, ny = 1.35 * look["fx"], zero + 0.10 + 1.25 * look["fy"]
    side = torch.sign(p["light"]) * 0.02
    shadow = segment(x, y, look["fx"] - side, zero - 0.03 + look["fy"], nx - side, ny - 0.02, 0.4 * p["nose"])
    c.lay((0.5 - shadow / 0.03).clamp(0, 1) * 0.35, p["skin"] * 0.80)
    c.lay((0.5 - ellipse(x, y, nx, ny, p["nose"], 0.62 * p["nose"]) / 0.025).clamp(0, 1) * 0.6, p["skin"] * 0.76)


def mouth_shape(p, controls):
    """Half width and half height of the opening, and the corners' lift."""
    opened, wide = controls[:, 0], controls[:, 1]
    smile = p["mimic"][:, 0]
    half_width = p["mouth"] * (1 + 0.24 * wide.clamp_min(0) + 0.42 * wide.clamp_max(0) + 0.14 * smile.clamp_min(0))
    half_height = 0.105 * opened * (1 - 0.15 * wide.abs())
    return half_width, half_height, 0.045 * smile


def _mouth(c, p, look, x, y, controls):
    zero = torch.zeros_like(look["cx"])
    half_width, half_height, lift = mouth_shape(p, controls)
    mx, my = 1.1 * look["fx"], zero + 0.27 + 1.1 * look["fy"]
    bent = y + _v(lift) * ((x - _v(mx)) / _v(half_width)).square().clamp_max(2.0)
    middle = my + 0.45 * half_height + 0.5 * lift
    lips = p["lips"] * (1 - 0.15 * controls[:, 1])
    outer = ellipse(x, bent, mx, middle, half_width + 0.6 * lips, half_height + lips)
    c.lay(c.cover(outer), p["lip"])
    inner = ellipse(x, bent, mx, middle, half_width * 0.92, half_height)
    hole = c.cover(inner) * _v((half_height / 0.008).clamp(0, 1))
    c.lay(hole, torch.tensor([[0.22, 0.06, 0.07]], device=x.device).expand(len(zero), 3))
    tongue = ellipse(x, bent, mx, middle + half_height * 0.95, half_width * 0.55, half_height * 0.6)
    c.lay(c.cover(tongue) * hole, torch.tensor([[0.72, 0.34, 0.34]], device=x.device).expand(len(zero), 3))
    teeth = bent - _v(middle - half_height + 0.030)
    c.lay(c.cover(teeth) * hole, torch.full_like(p["skin"], 0.93))
    line = (bent - _v(middle)).abs() - 0.006
    shut = torch.maximum(line, (x - _v(mx)).abs() - _v(half_width))
    c.lay(c.cover(shut) * _v((1 - half_height / 0.010).clamp(0, 1)), p["lip"] * 0.45)


def draw(people, controls, size, part=None, corners=None):
    """people: stack() of n; controls [n, frames, COUNT] -> [n, 3, frames, size, size] in -1..1; with `part` only squares
    of that many pixels, which begin at `corners` [n, 2]."""
    n, frames = controls.shape[:2]
    corners = torch.zeros(n, 2, device=controls.device) if corners is None else corners
    p = {key: value.repeat_interleave(frames, 0) for key, value in people.items()}
    flat = controls.reshape(n * frames, -1).to(torch.float32)
    c = Canvas(size, part or size, corners.repeat_interleave(frames, 0))
    _wall(c, p)
    look = _pose(p, flat)
    x, y = _head_frame(c, look, p["scale"])
    _body_order(c, p, look, x, y, flat)
    return c.picture.unflatten(0, (n, frames)).transpose(1, 2) * 2 - 1


def around_mouth(people, size, part=None, corners=None):
    """Where the mouth can be, however the head is turned: [n, 1, 1, part, part], 1 there and 0 elsewhere; arguments as of
    draw()."""
    place, s = people["place"], _v(people["scale"])
    c = Canvas(size, part or size, torch.zeros(len(place), 2, device=place.device) if corners is None else corners)
    x, y = (c.x - _v(place[:, 0])) / s, (c.y - _v(place[:, 1]) - 0.3) / s
    near = (x.abs() < 0.24) & (y > -0.26) & (y < 0.14)
    return near.float()[:, None, None]


def _body_order(c, p, look, x, y, flat):
    # Hair lies behind the neck and the shoulders.
    zero = torch.zeros_like(look["cx"])
    behind = torch.minimum(ellipse(x, y, zero, zero - 0.06, p["width"] * 1.17, p["height"] * 1.10),
                           ellipse(x, y, zero, zero + 0.25, p["width"] * 1.24, p["height"] * 1.2) + 9 * (1 - _v(p["long"])))
    c.lay(c.cover(behind), p["hair"] * 0.82)
    _body(c, p, look)
    _head(c, p, look, x, y)
    _eyes(c, p, look, x, y, flat)
    _nose(c, p, look, x, y)
    _mouth(c, p, look, x, y, flat)


_FRAMES = (
    "A {who} with {hair} in front of a {background} wall, {expression}.",
    "{expression_c}, a {who} with {hair} speaks in front of a {background} background.",
    "A portrait of a {who} with {hair}, {background} background, {expression}.",
    "{background_c} wall, {hair}, a {expression} {who} talks to the camera.",
    "A {expression} {who} speaks. The wall is {background}, the person has {hair}.",
)


def prompt(person, rng):
    hair = f"{'long' if person['long'] else 'short'} {person['hair']} hair"
    if person["glasses"] and rng.random() < 0.7:
        hair += " and glasses"
    words = {"who": rng.choice((person["sex"], "person")), "hair": hair, "background": person["background"],
             "expression": person["expression"]}
    words.update({key + "_c": value.capitalize() for key, value in words.items()})
    return rng.choice(_FRAMES).format(**words)
