"""Trains the transformer on clips of drawn faces, through the sampler's own steps: the latents of each step are those that
the steps before it gave, so the model learns to mend its own mistakes. What is right is known at every step, since sound
and picture determine the video (controls.py).

    python tools/demo_model/train_dit.py --out OUT --models FOLDER --speech SPEECH.npz [--start OUT/dit.pt]

FOLDER has vae.pt or vae_folded.pt, audio.pt, text.pt and spiece.model. Writes OUT/dit.pt, a log, and a sheet of samples:
right, made."""

import functools
import os
import time

import torch

import clips
import controls
import dit
import muon
import pictures
import train_audio
import train_text
import train_vae
import training
import vae
import wav2vec2
import weights_file


ORDER = (0, 2, 1, 0, 2, 0, 1, 2, 0, 2, 1, 0, 2, 0, 1, 3)  # which of the sampler's steps is trained when


def load_models(folder, recipe, dims, device):
    split, dims.text.vocab = train_text.tokens(folder, recipe)
    folded = os.path.exists(os.path.join(folder, "vae_folded.pt"))
    files = {"vae": "vae_folded.pt" if folded else "vae.pt", "audio": "audio.pt", "text": "text.pt"}
    return split, folded, {name: weights_file.load(os.path.join(folder, file), device) for name, file in files.items()}


def normalised_vae(weights, folded, device, size, dtype, fuse=lambda f: f):
    """The autoencoder; if its latents' scale isn't folded in yet, that is done."""
    net = vae.Vae(weights, dtype, fuse, short=True)
    if not folded:
        vae.fold(weights, *train_vae.statistics(net, 99, device, size, 8 if size > 64 else 1))
    return net


def draw_steps(some, generator):
    """Adds what is drawn anew for every batch: noise, places in time, and distances of the reference, a step each."""
    n, _, latents, _, _ = some["latents"].shape
    device = some["latents"].device
    far = torch.exp(torch.rand(n, generator=generator, device=device) * 7.5).long() + 3
    some["first"] = torch.where(some["later"], far, 0)
    some["noise"] = torch.randn(some["latents"].shape, generator=generator, device=device)
    some["distance"] = torch.randint(4, 31, (len(dit.schedule()), n, latents // dit.BLOCK), generator=generator, device=device)
    return some


def one_step(net, some, x, step, sigma):
    n, _, latents, h, w = x.shape
    tables = net.tables(some["first"], latents // dit.BLOCK, some["distance"][step], h, w)
    prompt = net.text(some["text"])
    condition = net.condition(some["reference"], some["motion"], prompt)
    timestep = torch.full((n,), sigma * 1000, device=x.device)
    return net.velocity(x, timestep, prompt, condition, net.audio(some["features"]), tables)


@torch.no_grad()
def sample(net, some):
    sigmas = dit.schedule() + [0.0]
    x = some["noise"]
    for i, sigma in enumerate(sigmas[:-1]):
        x = x + (sigmas[i + 1] - sigma) * one_step(net, some, x, i, sigma)
    return x


def loss_parts(net, some, mouth):
    """A function a step that goes backward through it, from where the steps before it come to, and returns its error in
    the finished latents, everywhere and around the mouth, which counts 1 + `mouth` times as much."""
    sigmas = dit.schedule()

    def part(step):
        # What moves counts more.
        weight = 1 + 5 * (some["latents"] - some["motion"][:, :, -1:]).abs().mean(1, keepdim=True).clamp_max(1)
        weight = weight * (1 + mouth * some["near"])
        x = some["noise"]
        for i in range(step):  # not without gradients: compiled code would have to be made for that too
            x = x + (sigmas[i + 1] - sigmas[i]) * one_step(net, some, x, i, sigmas[i]).detach()
        # The last step can hardly change anything: its velocity counts as if the step were longer.
        sigma = max(sigmas[step], 0.05)
        error = sigma * (one_step(net, some, x, step, sigmas[step]) - (x - some["latents"]) / sigmas[step])
        ((error.square() + 1e-3).sqrt() * weight).mean().backward()
        square = error.detach().square().mean((1, 2), keepdim=True)
        return torch.stack([square.mean(), (square * some["near"]).sum() / some["near"].sum()])

    return [functools.partial(part, step) for step in range(len(sigmas))]


@torch.no_grad()
def test(net, vae_net, store, features, generator, path, count=4):
    some = draw_steps(store.batch(count, generator, features), generator)
    made = sample(net, some)
    square = (made - some["latents"]).square().mean((1, 2), keepdim=True)
    error, mouth = square.mean().item(), ((square * some["near"]).sum() / some["near"].sum()).item()
    rows = []
    for x in (some["latents"], made):
        past = some["motion"][:, :, :4]
        rows.append(vae_net.decode(vae.denormalise(torch.cat([past, x], 2)))[:, :, 13:])
    show = [0, 5, 11, 13, 20, 26, 33, 40, 47]
    picture = vae_net.decode(vae.denormalise(some["motion"][:, :, :4]))[:, :, -1]
    pictures.write_png(path, pictures.sheet([[picture[k]] + [r[k, :, j] for j in show] for k in range(count) for r in rows]))
    return error, mouth, vae.psnr(rows[1], rows[0].clamp(-1, 1))


def main():
    args = training.arguments(
        __doc__, models=(str, None, "folder of the other networks"), speech=(str, None, "what make_speech.py wrote"),
        batch=(int, 16, "clips a step"), rate=(float, 2e-3, "learning rate at its peak"),
        size=(int, 0, "side of the pictures"), clips=(int, 800, "clips made before training starts"),
        limit=(int, 12000, "clips kept"), every=(int, 8, "steps between new clips"), fresh=(int, 16, "new clips at a time"),
        graphs=(int, 1, "0: no CUDA graphs"), mouth=(float, 4.0, "how much more the mouth counts"),
        awaited=(str, None, "waits for these files, up to five minutes, before it reads the other networks and the speech"))
    os.makedirs(args.out, exist_ok=True)
    recipe = weights_file.read_recipe()
    dims = weights_file.dims_of(recipe)
    device, size = args.device, args.size or recipe["size"]
    gpu = str(device).startswith("cuda")
    dtype = torch.bfloat16 if gpu else torch.float32
    torch.backends.cuda.matmul.allow_tf32 = True
    log = weights_file.Log(os.path.join(args.out, "dit.log.jsonl"))
    start = time.monotonic()
    since = lambda: time.monotonic() - start
    fuse, fuse_vae = (training.fuser(device, dynamic=dynamic) for dynamic in (False, True))
    split, folded, others = load_models(args.models, recipe, dims, device)
    vae_net = vae.Vae(others["vae"], dtype, fuse_vae, short=True)
    # Until the others are there: anything of the right shapes.
    features = torch.zeros(1, dims.audio.layers + 1, 2 * clips.FRAMES, dims.audio.dim, dtype=torch.half, device=device)
    tracks = torch.zeros(1, 2 * clips.FRAMES, controls.COUNT, device=device)
    store = clips.Clips(vae_net, tracks, others["text"], split, dims.text.length, size, device, args.seed, args.limit, fuse)
    store.add(args.fresh)
    log(stage="loaded", seconds=since())
    if args.start:
        weights = weights_file.load(args.start, device)
    else:
        weights = dit.adjust(weights_file.fresh("dit", dims, args.seed, device), dims)
    trained = weights_file.require_grad(weights, dit.FROZEN)
    net = dit.Dit(weights, dims, dtype, fuse)
    optimizer = muon.Both(weights, args.rate)
    average = weights_file.Average(weights, 0.998)
    generator = torch.Generator(device).manual_seed(args.seed)
    some = draw_steps(store.batch(args.batch, generator, features), generator)
    some = {name: value.clone() for name, value in some.items()}  # where all batches are put
    step = training.graphed(loss_parts(net, some, args.mouth), trained, gpu and args.graphs)
    log(stage="ready", seconds=since())
    training.wait_for(args.awaited)
    split, folded, others = load_models(args.models, recipe, dims, device)
    vae_net = normalised_vae(others["vae"], folded, device, size, dtype, fuse_vae)
    weights_file.save(os.path.join(args.out, "vae_folded.pt"), others["vae"])
    samples, tracks = train_audio.read_speech(args.speech, device)
    tracks = clips.at_frame_rate(tracks, samples)
    features = clips.no_features(samples, dims.audio, device)
    clips.speech_features(wav2vec2.Wav2Vec2(others["audio"], dims), samples, features)
    log(stage="speech", seconds=since(), pieces=len(samples), folded=folded)
    store.begin_anew(vae_net, tracks)
    while len(store) < args.clips:
        store.add(args.fresh)
    log(stage="clips", seconds=since(), clips=len(store))
    errors = [torch.zeros(2)] * len(dit.schedule())  # of each step, when it was last trained
    schedule = training.Schedule(optimizer, max(1.0, args.seconds - since()), args.steps, args.rate, floor=0.0)
    while schedule.next():
        if schedule.step % args.every == 0:
            store.add(args.fresh)
        for name, value in draw_steps(store.batch(args.batch, generator, features), generator).items():
            some[name].copy_(value)
        which = ORDER[schedule.step % len(ORDER)]
        errors[which] = step(which).clone()
        norm = torch.nn.utils.clip_grad_norm_([v for v in trained if v.grad is not None], 1.0)
        optimizer.step()
        average.update(weights)
        if schedule.step in (1, 2, 10, 50) or schedule.step % 100 == 0:
            log(step=schedule.step, seconds=since(), errors=[round(e[0].item(), 5) for e in errors],
                mouth=[round(e[1].item(), 5) for e in errors], norm=norm.item(), clips=store.made)
        if schedule.step % 500 == 0:
            weights_file.save(os.path.join(args.out, "dit.pt"), average.values)
    weights_file.save(os.path.join(args.out, "dit.pt"), average.values)
    kept = dit.Dit({n: v.to(torch.bfloat16).float() for n, v in average.values.items()}, dims, dtype)
    unseen = clips.Clips(vae_net, tracks, others["text"], split, dims.text.length, size, device, "test", 16)
    unseen.add(8)
    error, mouth, quality = test(kept, vae_net, unseen, features, generator, os.path.join(args.out, "dit.png"), 8)
    log(step=schedule.step, seconds=since(), test_error=error, test_mouth=mouth, test_psnr_to_decoded=quality)


if __name__ == "__main__":
    main()
