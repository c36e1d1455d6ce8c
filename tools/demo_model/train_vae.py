"""Trains the video autoencoder on drawn faces. Writes OUT/vae.pt (raw), a log, and a sheet of samples.

    python tools/demo_model/train_vae.py --out OUT [--start OUT/vae.pt] [--seconds 120]
"""

import math
import os
import time

import torch

import faces
import pictures
import training
import vae
import weights_file

NOISE = 0.12  # of the latents' deviation: what is decoded later is never exact


def gradients(x):
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def loss_of(made, frames):
    """Differences of pixels, of their differences, and of the motion."""
    error = made - frames
    charbonnier = (error.square() + 1e-4).sqrt().mean()
    edges = sum((a - b).abs().mean() for a, b in zip(gradients(made), gradients(frames)))
    motion = (error[:, :, 1:] - error[:, :, :-1]).abs().mean() if error.shape[2] > 1 else 0.0
    return charbonnier + error.square().mean() + 1.0 * edges + 0.5 * motion


def draw_batch(seed, generator, count, frames, size, device, part=None):
    """Clips [count, 3, frames, size, size] and where the mouth is; with `part` squares of that many pixels, mostly of the
    face's middle."""
    rng = training.rng_of("vae", seed)
    someone = faces.stack(training.people(rng, count), device)
    track = training.random_controls(generator, count, frames, device)
    still = torch.tensor([rng.randrange(1, frames) if rng.random() < 0.25 else 0 for _ in range(count)], device=device)
    waits = torch.arange(frames, device=device) < still.unsqueeze(1)  # a still that begins to move, as every video does
    track = torch.where(waits.unsqueeze(2), track[:, :1], track)
    corners = None
    if part:
        corners = torch.rand(count, 2, generator=generator, device=device)
        middle = torch.rand(count, 1, generator=generator, device=device) < 0.6
        corners = torch.where(middle, 0.3 + 0.4 * corners, corners) * (size - part)
        corners = corners.round()
    with torch.no_grad():
        return faces.draw(someone, track, size, part, corners), faces.around_mouth(someone, size, part, corners)


@torch.no_grad()
def statistics(net, seed, device, size, rounds=8):
    """Mean and deviation of the raw latents a channel."""
    generator = torch.Generator(device).manual_seed(seed)
    raw = torch.cat([net.encode(draw_batch(f"{seed}/{i}", generator, 4, 17, size, device)[0]) for i in range(rounds)])
    flat = raw.transpose(0, 1).flatten(1).double()
    return flat.mean(1).float(), flat.std(1).float()


@torch.no_grad()
def test(net, seed, device, size, path=None, rounds=4):
    """PSNR of whole pictures and around the mouth."""
    generator = torch.Generator(device).manual_seed(seed)
    values, rows = [], []
    for i in range(rounds):
        frames, near = draw_batch(f"test/{seed}/{i}", generator, 4, 17, size, device)
        made = net.decode(net.encode(frames))
        part = near.mean().item()
        values.append((vae.psnr(made, frames), vae.psnr(made * near, frames * near) + 10 * math.log10(part)))
        rows += [[frames[k, :, j] for j in (0, 8, 16)] + [made[k, :, j] for j in (0, 8, 16)] for k in (0,)]
    if path:
        pictures.write_png(path, pictures.sheet(rows))
    return [sum(v) / len(v) for v in zip(*values)]


def main():
    args = training.arguments(__doc__, batch=(int, 8, "clips a step"), frames=(int, 13, "frames a clip"),
                              rate=(float, 2e-3, "learning rate at its peak"), size=(int, 0, "side of the pictures"),
                              part=(int, 96, "side of the squares that are trained on"),
                              pool=(int, 16, "steps' clips that are drawn at once"),
                              mouth=(float, 4.0, "how much more the mouth counts"),
                              graphs=(int, 1, "0: no CUDA graphs"),
                              decoder=(int, 0, "1: the decoder alone, of vae_folded.pt; latents stay what they are"))
    os.makedirs(args.out, exist_ok=True)
    size = args.size or weights_file.read_recipe()["size"]
    device = args.device
    gpu = str(device).startswith("cuda")
    torch.backends.cudnn.benchmark = True
    dtype = torch.bfloat16 if gpu else torch.float32
    start = time.monotonic()
    if args.start:
        weights = weights_file.load(args.start, device)
    else:
        weights = vae.adjust(weights_file.fresh("vae", weights_file.dims_of(weights_file.read_recipe()), args.seed, device))
    trained = weights_file.require_grad(weights, vae.FROZEN + (vae.ENCODER if args.decoder else ()))
    net = vae.Vae(weights, dtype, training.fuser(device, dynamic=False), short=True)
    optimizer = torch.optim.AdamW(trained, lr=args.rate, betas=(0.9, 0.98), weight_decay=1e-3, fused=gpu)
    average = weights_file.Average(weights, 0.998)
    log = weights_file.Log(os.path.join(args.out, "vae.log.jsonl"))
    target = os.path.join(args.out, "vae_folded.pt" if args.decoder else "vae.pt")
    generator = torch.Generator(device).manual_seed(args.seed)
    torch.manual_seed(args.seed)
    frames = torch.zeros(args.batch, 3, args.frames, args.part, args.part, device=device)
    near = torch.zeros(args.batch, 1, 1, args.part, args.part, device=device)

    def backward():
        raw = net.encode(frames)
        deviation = raw.detach().std((0, 2, 3, 4), keepdim=True)
        made = net.decode(raw + NOISE * deviation * torch.randn_like(raw))
        loss = loss_of(made, frames) + args.mouth * loss_of(made * near, frames * near)
        (loss if args.decoder else loss + 1e-4 * raw.square().mean()).backward()
        return loss.detach(), (made.detach().clamp(-1, 1) - frames).square().mean() / 4, raw.detach().std()

    def draw(step):
        return draw_batch(f"{args.seed}/{step}", generator, args.batch * args.pool, args.frames, size, device, args.part)

    def load(at):
        for to, new in zip((frames, near), pool):
            to.copy_(new[at * args.batch:(at + 1) * args.batch])

    pool = draw(0)
    load(0)
    replay = training.graphed([backward], trained, gpu and args.graphs)
    log(stage="ready", seconds=time.monotonic() - start)
    schedule = training.Schedule(optimizer, args.seconds - (time.monotonic() - start), args.steps, args.rate)
    while schedule.next():
        at = schedule.step % args.pool
        if at == 0:
            pool = draw(schedule.step)
        load(at)
        loss, error, deviation = replay(0)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        average.update(weights)
        if schedule.step in (1, 10, 30, 100) or schedule.step % 250 == 0:
            log(step=schedule.step, seconds=time.monotonic() - start, loss=loss.item(),
                psnr=-10 * error.log10().item(), latents=deviation.item())
        if schedule.step % 1000 == 0:
            weights_file.save(target, average.values)
    weights_file.save(target, average.values)
    folded = os.path.join(args.out, "vae_folded.pt")
    if not args.decoder and os.path.exists(folded):  # of other weights
        os.remove(folded)
    kept = vae.Vae({n: v.to(torch.bfloat16).float() for n, v in average.values.items()}, dtype, short=True)
    quality, mouth = test(kept, 4711, device, size, os.path.join(args.out, "vae.png"))
    log(step=schedule.step, seconds=time.monotonic() - start,
        test_psnr=quality, test_psnr_mouth=mouth)


if __name__ == "__main__":
    main()
