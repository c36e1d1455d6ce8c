"""The recipe, and weights as dicts of tensors under the checkpoint's names."""

import json
import os
import sys

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "make_checkpoint"))

import dims as dimensions  # noqa: E402  (lies in the folder above)
import shapes  # noqa: E402


def read_recipe(path=os.path.join(HERE, "recipe.json")):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def dims_of(recipe):
    return dimensions.from_recipe(recipe)


def fresh(component, dims, seed, device):
    """Start values: matrices by their fan-in, biases zero, norms one. A network's own file changes some."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.COMPONENTS[component](dims).items():
        if name.endswith("gamma") or (len(shape) == 1 and name.endswith("weight")):
            value = torch.ones(shape)
        elif len(shape) == 1:
            value = torch.zeros(shape)
        else:
            fan = 1
            for n in shape[1:]:
                fan *= n
            value = torch.randn(shape, generator=generator) / fan ** 0.5
        weights[name] = value.to(device)
    return weights


def require_grad(weights, frozen=()):
    """Marks what is trained, all but the names that begin with one of `frozen`; returns it as a list."""
    return [value.requires_grad_() for name, value in weights.items() if not name.startswith(tuple(frozen))]


def save(path, weights, dtype=torch.bfloat16):
    torch.save({name: value.detach().to("cpu", dtype) for name, value in weights.items()}, path + ".part")
    os.replace(path + ".part", path)


def load(path, device):
    return {name: value.to(device, torch.float32) for name, value in torch.load(path, weights_only=True).items()}


def rounded(value, bits):
    """Each row of a matrix or kernel to so many bits on a grid whose step is a power of two: bfloat16 holds it exactly, and
    what packs the files finds the rest of the bits empty."""
    if value.dim() < 2:
        return value
    rows = value.float().flatten(1)
    top = rows.abs().amax(1, keepdim=True).clamp_min(1e-20)
    step = torch.exp2(torch.ceil(torch.log2(top / (2 ** (bits - 1) - 1))))
    return ((rows / step).round() * step).view(value.shape)


class Average:
    """An exponential moving average of weights."""

    def __init__(self, weights, decay):
        self.decay, self.steps = decay, 0
        self.values = {name: value.detach().clone() for name, value in weights.items()}

    @torch.no_grad()
    def update(self, weights):
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        names = list(self.values)
        torch._foreach_lerp_([self.values[n] for n in names], [weights[n].detach() for n in names], 1 - decay)


class Log:
    """JSON lines on the screen and in a file."""

    def __init__(self, path):
        self._file = open(path, "a", encoding="utf-8")

    def __call__(self, **values):
        line = json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()})
        print(line, flush=True)
        self._file.write(line + "\n")
        self._file.flush()
