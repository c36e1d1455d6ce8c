"""What the training scripts share: a clock that sets the learning rate, compiled functions if the machine can, batches."""

import argparse
import math
import os
import random
import time

import torch
import torch._dynamo

import controls
import faces


def arguments(doc, **extra):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for weights, log and samples")
    parser.add_argument("--start", help="weights to go on from")
    parser.add_argument("--seconds", type=float, default=120, help="how long to train")
    parser.add_argument("--steps", type=int, default=10 ** 9, help="or how many steps, what ends first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, (kind, default, text) in extra.items():
        parser.add_argument("--" + name, type=kind, default=default, help=text)
    return parser.parse_args()


class Schedule:
    """Learning rates by how much of the time or of the steps is used: a short rise, then half a cosine down."""

    def __init__(self, optimizer, seconds, steps, peak, rise=0.03, floor=0.02):
        # What came before the first step may have used up all of the time.
        self.optimizer, self.seconds, self.steps, self.peak = optimizer, max(seconds, 1.0), steps, peak
        self.rise, self.floor = rise, floor
        self.begin, self.step = time.monotonic(), 0

    def part(self):
        return max((time.monotonic() - self.begin) / self.seconds, self.step / self.steps)

    def next(self):
        """False when it is over."""
        part = self.part()
        if part >= 1:
            return False
        self.step += 1
        rate = self.peak * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * part)))
        rate *= min(1.0, part / self.rise + 0.01, self.step / 50)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)
        return True


def fuser(device, dynamic=None):
    """torch.compile on a GPU, which leaves functions as they are where it can't work; nothing elsewhere."""
    if not str(device).startswith("cuda"):
        return lambda f: f
    torch._dynamo.config.suppress_errors = True
    torch._dynamo.config.recompile_limit = 64
    return lambda f: torch.compile(f, dynamic=dynamic)


def graphed(parts, trained, gpu):
    """A function f(which) that runs this one of `parts`, functions that do a backward pass into the gradients of `trained`,
    from zero on, and return tensors: on a GPU from CUDA graphs, since Python is slower than its small kernels. What they
    read must stay where it is."""
    def plain(which):
        for p in trained:
            p.grad = None
        return parts[which]()

    if not gpu:
        return plain
    try:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                for which in range(len(parts)):
                    plain(which)
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        for p in trained:
            p.grad = None
        graphs, results = [], []
        for part in parts:  # the first makes the gradients, the others add to them
            graphs.append(torch.cuda.CUDAGraph())
            with torch.cuda.graph(graphs[-1]):
                results.append(part())
    except Exception as error:  # noqa: BLE001  (slower, not wrong)
        print("no CUDA graph here:", str(error)[:500], flush=True)
        torch.cuda.synchronize()
        return plain

    grads = [p.grad for p in trained if p.grad is not None]

    def replay(which):
        torch._foreach_zero_(grads)
        graphs[which].replay()
        return results[which]

    return replay


def wait_for(paths, limit=300):
    """Until these files, with commas between, are there."""
    begin = time.monotonic()
    while paths and not all(os.path.exists(p) for p in paths.split(",")) and time.monotonic() - begin < limit:
        time.sleep(0.2)


def people(rng, count):
    return [faces.draw_person(rng) for _ in range(count)]


SMOOTH = (0.9, 1.1, 1.0, 2.0, 2.0, 2.0, 2.0)  # frames: as fast as speech moves mouth, eyes and head


def random_controls(generator, count, frames, device):
    """Control tracks without speech: smooth, of all sizes; [count, frames, COUNT]."""
    raw = torch.randn(count, controls.COUNT, frames + 16, generator=generator, device=device)
    sigma = torch.tensor(SMOOTH, device=device).view(-1, 1)
    kernel = torch.exp(-0.5 * (torch.arange(-8, 9, device=device) / sigma).square())
    kernel = kernel / kernel.square().sum(1, keepdim=True).sqrt()
    track = torch.nn.functional.conv1d(raw, kernel.unsqueeze(1), groups=controls.COUNT).transpose(1, 2) * 0.6
    low = torch.tensor([0.0, -1, 0, -1, -1, -1, 0], device=device)
    track = track + torch.tensor([0.35, 0, -0.3, 0, 0, 0, 0.2], device=device)
    return torch.minimum(torch.maximum(track, low), torch.ones_like(low))


def rng_of(*parts):
    return random.Random("/".join(str(p) for p in parts))
