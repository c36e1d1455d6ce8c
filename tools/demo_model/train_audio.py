"""Trains the speech encoder to hear what a face does (controls.py). Writes OUT/audio.pt and a log.

    python tools/demo_model/train_audio.py --out OUT --speech SPEECH.npz[,MORE.npz] [--test TEST.npz]
                                           [--start OUT/audio.pt] [--seconds 60]
"""

import os
import time

import numpy as np
import torch
import torch.nn.functional as F

import controls
import training
import wav2vec2
import weights_file

RATE = 16000
WEIGHT = (4.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0)
# The mouth is also asked for so many hundredths of a second earlier and later, by an output that isn't kept: then the
# features say how fast it moves, which a picture's frame between two of theirs needs.
NEARBY = (-6, -4, -2, 2, 4, 6)
MOUTH = 2  # the first controls are the mouth's
NEARBY_WEIGHT = (1.0, 0.5)


def read_speech(paths, device):
    """Samples and tracks of some files, all pieces of one length; a text file has their names."""
    if paths.endswith(".txt"):
        with open(paths, encoding="utf-8") as f:
            paths = f.read().strip()
    files = [np.load(path) for path in paths.split(",")]
    return tuple(torch.cat([torch.from_numpy(f[name]).to(device) for f in files]) for name in ("samples", "tracks"))


def targets(tracks, frames):
    """tracks at 100 steps a second -> at the encoder's 50 frames a second."""
    return tracks[:, :2 * frames:2].float()


def coloured(samples, generator):
    """Another timbre for each: a filter of one tap and a short one at random; half of them with noise."""
    n = len(samples)
    draw = lambda *shape: torch.rand(*shape, generator=generator, device=samples.device)
    samples = torch.cat([samples[:, :1], samples[:, 1:] - (draw(n, 1) * 1.2 - 0.5) * samples[:, :-1]], 1)
    taps = (draw(n, 1, 12) - 0.5) * 0.8 * torch.exp(-torch.arange(12, device=samples.device) / 4)
    taps[:, :, 0] = 1
    samples = F.conv1d(F.pad(samples, (11, 0)).unsqueeze(0), taps.flip(2), groups=n)[0]
    loud = samples.square().mean(1, keepdim=True).sqrt()
    noise = torch.randn(samples.shape, generator=generator, device=samples.device)
    return samples + noise * loud * 10 ** (-0.7 - 2 * draw(n, 1)) * (draw(n, 1) < 0.5)


def between(x, at):
    """x [n, t, c], at [n, k] places along t -> [n, k, c] by linear interpolation."""
    at = at.clamp(0, x.shape[1] - 1.001)
    low = at.floor().long()
    part = (at - low).unsqueeze(2)
    take = lambda index: x.gather(1, index.unsqueeze(2).expand(-1, -1, x.shape[2])).float()
    return take(low) * (1 - part) + take(low + 1) * part


def windows(samples, tracks, pick, length, generator):
    """Pieces `pick`, a part of `length` samples of each, a little faster or slower (so other throats), and what the face
    does there: [n, length], [n, 50 a second, COUNT + MOUTH · len(NEARBY)]."""
    n, device = len(pick), samples.device
    draw = lambda: torch.rand(n, 1, generator=generator, device=device)
    factor = torch.exp((draw() - 0.5) * 0.24)
    begin = draw() * (samples.shape[1] - length * factor).clamp_min(0)
    sound = between(samples[pick].unsqueeze(2), begin + torch.arange(length, device=device) * factor)
    frame = torch.arange(length * 50 // RATE, device=device) * 2
    track = tracks[pick]
    place = lambda shift: begin * 100 / RATE + (frame + shift) * factor
    wanted = [between(track, place(0))] + [between(track[:, :, :MOUTH], place(shift)) for shift in NEARBY]
    return sound.squeeze(2), torch.cat(wanted, 2)


@torch.no_grad()
def correlations(net, samples, tracks):
    """Between what is heard and what is right, a control."""
    found, right = [], []
    for begin in range(0, len(samples), 16):
        heard = net.controls(net.hidden(wav2vec2.normalise(samples[begin:begin + 16].float())), controls.COUNT)
        found.append(heard.flatten(0, 1))
        right.append(targets(tracks[begin:begin + 16], heard.shape[1]).flatten(0, 1))
    a, b = torch.cat(found), torch.cat(right)
    a, b = a - a.mean(0), b - b.mean(0)
    return ((a * b).mean(0) / (a.square().mean(0) * b.square().mean(0)).sqrt().clamp_min(1e-9)).tolist()


def loss_of(heard, want, weight):
    error = heard - want
    change = error[:, 1:, :MOUTH] - error[:, :-1, :MOUTH]
    return (((error.square() + 1e-4).sqrt() + error.square()) * weight).mean() + 2 * change.abs().mean()


def main():
    args = training.arguments(__doc__, speech=(str, None, "what make_speech.py wrote"), batch=(int, 48, "pieces a step"),
                              test=(str, None, "speech of voices that are never heard, to measure with"),
                              length=(float, 5.0, "seconds of a piece that are heard at a time"),
                              rate=(float, 2e-3, "learning rate at its peak"), graphs=(int, 1, "0: no CUDA graphs"),
                              awaited=(str, None, "waits for these files before it reads the speech"))
    os.makedirs(args.out, exist_ok=True)
    device = args.device
    gpu = str(device).startswith("cuda")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    dims = weights_file.dims_of(weights_file.read_recipe())
    if args.start:
        weights = weights_file.load(args.start, device)
    else:
        weights = wav2vec2.adjust(weights_file.fresh("audio", dims, args.seed, device))
    trained = weights_file.require_grad(weights, wav2vec2.FROZEN)
    nearby = torch.zeros(MOUTH * len(NEARBY), dims.audio.dim, device=device, requires_grad=True)
    trained.append(nearby)
    net = wav2vec2.Wav2Vec2(weights, dims)
    training.wait_for(args.awaited)
    samples, tracks = read_speech(args.speech, device)
    held = min(64, max(1, len(samples) // 20))
    optimizer = torch.optim.AdamW(trained, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=gpu)
    average = weights_file.Average(weights, 0.998)
    log = weights_file.Log(os.path.join(args.out, "audio.log.jsonl"))
    generator = torch.Generator(device).manual_seed(args.seed)
    weight = torch.tensor(WEIGHT + NEARBY_WEIGHT * len(NEARBY), device=device)
    length = int(args.length * RATE)

    def draw():
        pick = torch.randint(held, len(samples), (args.batch,), generator=generator, device=device)
        sound, right = windows(samples, tracks, pick, length, generator)
        return coloured(sound, generator), right

    sound, right = draw()

    def backward():
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=gpu, cache_enabled=False):
            states = net.hidden(wav2vec2.normalise(sound))
            heard = torch.cat([net.controls(states, controls.COUNT), F.linear(states[-1], nearby)], 2).float()
        loss = loss_of(heard, right[:, :heard.shape[1]], weight)
        loss.backward()
        return loss.detach()

    step = training.graphed([backward], trained, gpu and args.graphs)
    schedule = training.Schedule(optimizer, args.seconds, args.steps, args.rate, floor=0.0)
    while schedule.next():
        for to, new in zip((sound, right), draw()):
            to.copy_(new)
        loss = step(0)
        torch.nn.utils.clip_grad_norm_([v for v in trained if v.grad is not None], 1.0)
        optimizer.step()
        average.update(weights)
        if schedule.step in (1, 10) or schedule.step % 200 == 0:
            log(step=schedule.step, seconds=time.monotonic() - schedule.begin, loss=loss.item())
        if schedule.step % 1000 == 0:
            weights_file.save(os.path.join(args.out, "audio.pt"), average.values)
    weights_file.save(os.path.join(args.out, "audio.pt"), average.values)
    kept = wav2vec2.Wav2Vec2({n: v.to(torch.bfloat16).float() for n, v in average.values.items()}, dims)
    found = {"held_back": correlations(kept, samples[:held], tracks[:held])}
    if args.test:
        found["never_heard"] = correlations(kept, *read_speech(args.test, device))
    log(step=schedule.step, seconds=time.monotonic() - schedule.begin,
        **{name: dict(zip(controls.NAMES, values)) for name, values in found.items()})


if __name__ == "__main__":
    main()
