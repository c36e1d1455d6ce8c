"""What the demo model is trained with computes what the program renders: each network of tools/demo_model against a
trace of the tiny case, random weights."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import torch

DATA = os.environ["LATENTCAST_TEST_DATA"]
PROGRAM = os.environ["LATENTCAST_PROGRAM"]
TOOLS = os.path.join(DATA, "..", "..", "tools")
sys.path[:0] = [os.path.join(TOOLS, "demo_model"), os.path.join(TOOLS, "make_checkpoint")]

import controls
import dims as dimensions
import dit
import export
import faces
import files
import import_checkpoint
import text
import tokenizer
import train_audio
import training
import vae
import wav2vec2

TINY = os.path.join(DATA, "tiny")
CHECKPOINT = os.path.join(TINY, "checkpoint")
TOLERANCE = 1e-4
ROUNDING = 1e-3  # of the program's float32 through a decoder with random weights, which spread errors
DISTANCE = 9


def read_safetensors(path):
    types = {"F32": torch.float32, "BF16": torch.bfloat16, "I64": torch.int64, "U8": torch.uint8}
    with open(path, "rb") as f:
        data = f.read()
    size = int.from_bytes(data[:8], "little")
    table = json.loads(data[8:8 + size])
    table.pop("__metadata__", None)
    tensors = {}
    for name, entry in table.items():
        begin, end = (8 + size + o for o in entry["data_offsets"])
        flat = torch.frombuffer(bytearray(data[begin:end]), dtype=types[entry["dtype"]])
        tensors[name] = flat.view(entry["shape"]) if entry["shape"] else flat[0]
    return tensors


def widened(tensors):
    return {name: t.float() for name, t in tensors.items()}


class DemoModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        cls.dims = dimensions.from_checkpoint(CHECKPOINT, files.read_shapes(CHECKPOINT))
        with tempfile.TemporaryDirectory() as folder:
            trace = os.path.join(folder, "trace.safetensors")
            cls.prompt = "Somebody talks to the camera and smiles."
            command = [PROGRAM, "render", "--ckpt_dir", CHECKPOINT, "--image", os.path.join(TINY, "portrait.png"),
                       "--audio", os.path.join(TINY, "speech.wav"), "--prompt", cls.prompt, "--size", "64*64",
                       "--base_seed", "1", "--num_clip", "1", "--cond_distance", str(DISTANCE), "--device", "cpu",
                       "--threads", "1", "--run_dir", os.path.join(folder, "run"), "--trace", trace]
            done = subprocess.run(command, capture_output=True, text=True, timeout=600)
            if done.returncode != 0:
                raise RuntimeError(done.stdout + done.stderr)
            cls.trace = read_safetensors(trace)

    def near(self, want, got, tolerance=TOLERANCE):
        self.assertEqual(want.shape, got.shape)
        self.assertLess(((want - got).abs().max() / want.abs().max()).item(), tolerance)

    def archive(self, name):
        return widened(torch.load(os.path.join(CHECKPOINT, name), weights_only=True))

    def encoded_text(self):
        pieces, _ = tokenizer.read(os.path.join(CHECKPOINT, files.TOKENIZER_FOLDER, "spiece.model"))
        ids, mask = text.batch(text.Tokenizer(pieces), [self.prompt], 40, "cpu")
        return ids, mask, text.encode(self.archive(files.TEXT_FILE), ids, mask)

    def test_text(self):
        ids, mask, encoded = self.encoded_text()
        want = self.trace["token_ids"]
        self.assertEqual(want.tolist(), ids[0, mask[0]].tolist())
        self.near(self.trace["text_embedding"], encoded[0, :len(want)])
        self.assertEqual(0, encoded[0, len(want):].abs().max())

    def sound_states(self):
        with open(os.path.join(TINY, "speech.wav"), "rb") as f:
            data = f.read()
        begin = data.index(b"data") + 8
        samples = torch.from_numpy(np.frombuffer(data[begin:], "<i2").astype(np.float32) / 32768)
        weights = widened(read_safetensors(os.path.join(CHECKPOINT, files.AUDIO_FOLDER, "model.safetensors")))
        net = wav2vec2.Wav2Vec2(weights, self.dims, attend=True)
        return net.hidden(wav2vec2.normalise(samples.unsqueeze(0)))

    def test_sound(self):
        want = self.trace["audio_embedding"]
        got = wav2vec2.video_features(self.sound_states(), want.shape[2])[:, 0].transpose(1, 2)
        self.near(want, got)

    def test_encoder(self):
        net = vae.Vae(self.archive(files.VAE_FILE))
        still = self.trace["ref_pixels"].unsqueeze(0)
        latents = vae.normalise(net.encode(still.expand(-1, -1, 73, -1, -1)))
        self.near(self.trace["motion_latents"], latents[0])
        planes = vae.Vae(self.archive(files.VAE_FILE), planes=True)
        self.near(latents[:, :, :3], vae.normalise(planes.encode(still.expand(-1, -1, 9, -1, -1))))

    def test_decoder(self):
        net = vae.Vae(self.archive(files.VAE_FILE), torch.float64)
        blocks = [self.trace[f"block{b}.latents"] for b in range(4)]
        latents = torch.cat([self.trace["decode_warmup.latents"]] + blocks, 1).unsqueeze(0)
        frames = net.decode(vae.denormalise(latents))[0, :, 25:].clamp(-1, 1)
        got = ((frames + 1) * 127.5).permute(1, 2, 3, 0)[3:]
        want = self.trace["frames"].float()
        self.assertLess((got[:len(want)] - want).abs().max().item(), 0.5 + 127.5 * ROUNDING)
        planes = vae.Vae(net.w, torch.float64, planes=True).decode(vae.denormalise(latents))[0, :, 25:].clamp(-1, 1)
        self.near(frames, planes, 1e-6)

    def test_folded_constants_change_nothing_but_the_scale(self):
        weights = self.archive(files.VAE_FILE)
        frames = torch.rand(1, 3, 5, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
        raw = vae.Vae(weights, torch.float64).encode(frames)
        before = vae.Vae(weights, torch.float64).decode(raw)
        flat = raw.transpose(0, 1).flatten(1)
        vae.fold(weights, flat.mean(1), flat.std(1))
        latents = vae.normalise(vae.Vae(weights, torch.float64).encode(frames))
        flat = latents.transpose(0, 1).flatten(1)
        self.assertLess(flat.mean(1).abs().max().item(), 1e-3)
        self.assertLess((flat.std(1) - 1).abs().max().item(), 1e-3)
        self.near(before, vae.Vae(weights, torch.float64).decode(vae.denormalise(latents)))

    def test_what_is_left_out_is_zero(self):
        weights = vae.short_memory(self.archive(files.VAE_FILE))
        frames = torch.rand(1, 3, 9, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
        whole, short = vae.Vae(weights, torch.float64), vae.Vae(weights, torch.float64, short=True)
        raw = whole.encode(frames)
        self.near(raw, short.encode(frames), 1e-6)
        self.near(whole.decode(raw), short.decode(raw), 1e-6)

    def test_schedule(self):
        for want, got in zip(self.trace["sigmas"].tolist(), dit.schedule()):
            self.assertAlmostEqual(want, got, 5)

    def test_transformer(self):
        weights = {}
        for part in ("00001", "00002"):
            weights.update(read_safetensors(os.path.join(CHECKPOINT, f"diffusion_pytorch_model-{part}-of-00002.safetensors")))
        net = dit.Dit(widened(weights), self.dims)
        _, _, encoded = self.encoded_text()
        padded = torch.zeros(1, 512, encoded.shape[2])
        padded[:, :encoded.shape[1]] = encoded
        prompt = net.text(padded)
        condition = net.condition(self.trace["sink0.ref_latents"], self.trace["motion_latents"].unsqueeze(0), prompt)
        last = self.dims.dit.layers - 1
        for layer in (0, last):
            for i, name in enumerate(("cond_k", "cond_v")):
                self.near(self.trace[f"sink0.layer{layer}.{name}"], condition[layer][i][0])
        features = self.trace["audio_embedding"].transpose(1, 2).unsqueeze(1)[:, :, :48]
        audio = net.audio(features)
        tables = net.tables(torch.zeros(1, dtype=torch.long), 4, torch.full((1, 4), DISTANCE), 8, 8)
        for step in range(4):
            steps = [f"rank{step}.step{b}." for b in range(4)]
            latents = torch.cat([self.trace[s + "latents_in"] for s in steps], 1).unsqueeze(0)
            want = torch.cat([self.trace[s + "velocity"] for s in steps], 1)
            timestep = self.trace[steps[0] + "timestep"].flatten()[:1]
            self.near(want, net.velocity(latents, timestep, prompt, condition, audio, tables)[0])

    def test_imported_checkpoint_is_exported_the_same(self):
        checkpoint = os.path.join(DATA, "..", "..", "configs", "demo", "checkpoint")
        with tempfile.TemporaryDirectory() as folder:
            models, again = (os.path.join(folder, name) for name in ("models", "again"))
            import_checkpoint.main(checkpoint, models)
            export.main(models, again)
            compared = 0
            for root, _, names in os.walk(again):
                for path in (os.path.join(root, name) for name in names):
                    with open(path, "rb") as got, open(os.path.join(checkpoint, os.path.relpath(path, again)), "rb") as want:
                        self.assertEqual(want.read(), got.read(), path)
                    compared += 1
            self.assertGreater(compared, 8)

    def test_heard_windows_have_their_own_tracks(self):
        seconds, rate = 10, train_audio.RATE
        time = torch.arange(seconds * rate) / rate
        samples = time.repeat(3, 1)  # sound and tracks say what time it is
        tracks = (torch.arange(seconds * 100 + 1) / 100).view(1, -1, 1).expand(3, -1, controls.COUNT)
        sound, wanted = train_audio.windows(samples, tracks, torch.tensor([2, 0, 1]), 5 * rate, torch.Generator().manual_seed(1))
        faster = (sound[:, -1] - sound[:, 0]) / (5 - 1 / rate)
        self.assertGreater(faster.std().item(), 0.001)
        at_frames = sound[:, ::rate // 50]
        for c in range(controls.COUNT):
            self.near(at_frames, wanted[:, :, c])
        for i, shift in enumerate(train_audio.NEARBY):
            for c in range(train_audio.MOUTH):
                moved = wanted[:, :, controls.COUNT + i * train_audio.MOUTH + c] - at_frames
                self.assertLess((moved - faster.unsqueeze(1) * shift / 100).abs().max().item(), 1e-3)

    def test_nothing_of_the_mouth_is_outside_of_its_surroundings(self):
        rng = training.rng_of("mouths", 1)
        people = faces.stack(training.people(rng, 8), "cpu")
        track = training.random_controls(torch.Generator().manual_seed(1), 8, 12, "cpu")
        shut = track.clone()
        shut[:, :, :2] = 0
        moved = (faces.draw(people, track, 96) - faces.draw(people, shut, 96)).abs()
        near = faces.around_mouth(people, 96)
        self.assertGreater((moved * near).sum().item(), 0)
        self.assertLess(((moved * (1 - near)).sum() / moved.sum()).item(), 0.01)


if __name__ == "__main__":
    unittest.main()
