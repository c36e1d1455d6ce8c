"""Renders portraits and speeches that training never saw, and measures the videos against what is right.

    python tools/demo_model/measure.py PROGRAM CHECKPOINT FOLDER [--clips N] [--sheet FILE.png]

FOLDER has what make_demo.py wrote. Prints JSON: for each video the correlation of the mouth's opening, measured in its
frames, with the speech's, at the best lag, and with other sound; the PSNR against the drawn face; the background's colour
error."""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

import torch

import controls
import faces
import pictures
import weights_file


def read_trace(path):
    with open(path, "rb") as f:
        data = f.read()
    size = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8:8 + size])["frames"]
    begin, end = (8 + size + o for o in entry["data_offsets"])
    frames = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.uint8).view(entry["shape"])
    return frames.permute(0, 3, 1, 2)


def render(program, checkpoint, image, sound, prompt, size, clips, threads=0, device="cpu"):
    """Frames [n, 3, h, w] in 0..255; the trace leaves out the first three."""
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.join(folder, "trace.safetensors")
        command = [program, "render", "--ckpt_dir", checkpoint, "--image", image, "--audio", sound,
                   "--prompt", prompt, "--size", f"{size}*{size}", "--base_seed", "3", "--device", device,
                   "--run_dir", os.path.join(folder, "run"), "--trace", trace, "--trace_blocks", "1"]
        if clips:
            command += ["--num_clip", str(clips)]
        if threads:
            command += ["--threads", str(threads)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        return read_trace(trace)


def mouth_opening(frames, person):
    """How much of the mouth's surroundings is dark as the inside of a mouth, or white as teeth: [n]."""
    n, _, h, w = frames.shape
    light = (frames * 0.5 + 0.5).mean(1)
    skin = sum(person["values"]["skin"]) / 3
    x0, y0 = person["values"]["place"]
    s = person["values"]["scale"][0]
    left, right = (int((x0 + o * s + 1) / 2 * w) for o in (-0.16, 0.16))
    top, bottom = (int((y0 - 0.1 + 0.4 + o * s + 1) / 2 * h) for o in (-0.24, 0.14))
    box = light[:, top:bottom, left:right]
    red = (frames[:, 0] - frames[:, 1])[:, top:bottom, left:right] * 0.5
    inside = ((skin * 0.45 - box) / 0.08).clamp(0, 1) + ((box - max(0.8, skin + 0.06)) / 0.08).clamp(0, 1)
    return (inside * (red < 0.5)).mean((1, 2))


def correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return ((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt().clamp_min(1e-12)).item()


def lagged(found, right, reach=5):
    """{lag: correlation}: positive where the picture is late."""
    n = len(found)
    return {lag: correlation(found[max(0, lag):n + min(0, lag)], right[max(0, -lag):n - max(0, lag)])
            for lag in range(-reach, reach + 1)}


def measure(frames, known, others):
    frames = frames[:len(known["tracks"]) - 3]
    track = torch.tensor(known["tracks"])[3:3 + len(frames)]
    drawn = faces.draw(faces.stack([known["person"]], "cpu"), track.unsqueeze(0), frames.shape[-1])[0].transpose(0, 1)
    found = mouth_opening(frames, known["person"])
    by_lag = lagged(found, track[:, 0])
    best = max(by_lag, key=by_lag.get)
    wrong = []
    for other in others:
        o = torch.tensor(other["tracks"])[3:, 0]
        n = min(len(o), len(found))
        wrong.append(correlation(found[:n], o[:n]))
    wall = (slice(None), slice(None), slice(0, frames.shape[2] // 3), slice(0, frames.shape[3] // 10))
    return {"lips": by_lag[0], "best_lag": best, "lips_at_best_lag": by_lag[best], "lips_with_other_sound": wrong,
            "measure_on_drawn_frames": correlation(mouth_opening(drawn, known["person"]), track[:, 0]),
            "psnr": -10 * torch.log10(((frames - drawn) / 2).square().mean()).item(),
            "background_error_percent": 50 * (frames[wall].mean((2, 3)) - drawn[wall].mean((2, 3))).abs().mean().item(),
            }, drawn


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("checkpoint")
    parser.add_argument("folder")
    parser.add_argument("--clips", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="*", type=int, help="numbers of the videos to render; all if none")
    parser.add_argument("--sheet")
    args = parser.parse_args()
    torch.set_num_threads(1)
    size = weights_file.read_recipe()["size"]
    stems = sorted(p[:-5] for p in glob.glob(os.path.join(args.folder, "*.json")))
    known = {}
    for stem in stems:
        with open(stem + ".json", encoding="utf-8") as f:
            known[stem] = json.load(f)
    rows = []
    for n, stem in enumerate(stems):
        if args.only and n not in args.only:
            continue
        frames = render(args.program, args.checkpoint, stem + ".png", stem + ".wav", known[stem]["prompt"], size, args.clips,
                        args.threads, args.device).float() / 127.5 - 1
        values, drawn = measure(frames, known[stem], [known[s] for s in stems if s != stem])
        print(json.dumps({"video": os.path.basename(stem), "frames": len(frames), **values}), flush=True)
        show = [i for i in range(4, len(drawn), max(1, len(drawn) // 8))][:8]
        rows += [[drawn[i] for i in show], [frames[i] for i in show]]
    if args.sheet:
        pictures.write_png(args.sheet, pictures.sheet(rows))


if __name__ == "__main__":
    main()
