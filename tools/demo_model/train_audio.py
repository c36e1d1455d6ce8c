"""Trains the speech encoder to hear what a face does (controls.py). Writes OUT/audio.pt and a log.

    python tools/demo_model/train_audio.py --out OUT --speech SPEECH.npz [--start OUT/audio.pt] [--seconds 60]
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

WEIGHT = (4.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0)


def read_speech(path, device):
    data = np.load(path)
    return tuple(torch.from_numpy(data[name]).to(device) for name in ("samples", "tracks"))


def targets(tracks, frames):
    """tracks at 100 steps a second -> at the encoder's 50 frames a second."""
    return tracks[:, :2 * frames:2].float()


def tilted(samples, generator):
    """Another timbre for each: a filter of one tap."""
    by = torch.empty(len(samples), 1, device=samples.device).uniform_(-0.5, 0.7, generator=generator)
    return torch.cat([samples[:, :1], samples[:, 1:] - by * samples[:, :-1]], 1)


def hurried(samples, tracks, factor):
    """Sound and tracks so many times faster, and the voice so much higher: other throats than the synthesiser's."""
    shorter = lambda x, n: F.interpolate(x, size=int(n / factor), mode="linear", align_corners=True)
    return shorter(samples.unsqueeze(1), samples.shape[1]).squeeze(1), shorter(tracks.mT, tracks.shape[1]).mT


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


def main():
    args = training.arguments(__doc__, speech=(str, None, "what make_speech.py wrote"), batch=(int, 32, "pieces a step"),
                              rate=(float, 2e-3, "learning rate at its peak"))
    os.makedirs(args.out, exist_ok=True)
    device = args.device
    dims = weights_file.dims_of(weights_file.read_recipe())
    if args.start:
        weights = weights_file.load(args.start, device)
    else:
        weights = wav2vec2.adjust(weights_file.fresh("audio", dims, args.seed, device))
    trained = weights_file.require_grad(weights, wav2vec2.FROZEN)
    net = wav2vec2.Wav2Vec2(weights, dims)
    samples, tracks = read_speech(args.speech, device)
    held = max(1, len(samples) // 20)
    optimizer = torch.optim.AdamW(trained, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.01)
    average = weights_file.Average(weights, 0.998)
    log = weights_file.Log(os.path.join(args.out, "audio.log.jsonl"))
    generator = torch.Generator(device).manual_seed(args.seed)
    weight = torch.tensor(WEIGHT, device=device)
    schedule = training.Schedule(optimizer, args.seconds, args.steps, args.rate)
    while schedule.next():
        pick = torch.randint(held, len(samples), (args.batch,), generator=generator, device=device)
        rng = training.rng_of("audio", args.seed, schedule.step)
        seconds = samples.shape[1] // 16000
        length = rng.randint(min(3, seconds), seconds)
        begin = rng.randint(0, seconds - length)
        piece = samples[pick, begin * 16000:(begin + length) * 16000].float()
        right = tracks[pick, begin * 100:(begin + length) * 100 + 1].float()
        piece, right = hurried(tilted(piece, generator), right, rng.uniform(0.86, 1.18))
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=str(device).startswith("cuda")):
            heard = net.controls(net.hidden(wav2vec2.normalise(piece)), controls.COUNT).float()
        want = targets(right, heard.shape[1])
        loss = (((heard - want).square() + 1e-4).sqrt() * weight).mean() + ((heard - want).square() * weight).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(weights)
        if schedule.step in (1, 10) or schedule.step % 200 == 0:
            log(step=schedule.step, seconds=time.monotonic() - schedule.begin, loss=loss.item())
        if schedule.step % 1000 == 0:
            weights_file.save(os.path.join(args.out, "audio.pt"), average.values)
    weights_file.save(os.path.join(args.out, "audio.pt"), average.values)
    kept = wav2vec2.Wav2Vec2({n: v.to(torch.bfloat16).float() for n, v in average.values.items()}, dims)
    found = correlations(kept, samples[:held], tracks[:held])
    log(step=schedule.step, seconds=time.monotonic() - schedule.begin, held_back=dict(zip(controls.NAMES, found)))


if __name__ == "__main__":
    main()
