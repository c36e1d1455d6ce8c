"""What the transformer learns from: latents of drawn clips, the picture they start from, speech features, prompts."""

import torch

import controls
import faces
import text
import training
import vae
import wav2vec2

FRAMES = 48
STILLS = 13  # stand for the 73 of the program: after them the latents of a still no longer change


def frames_of(samples):
    return samples.shape[1] // 16000 * controls.FRAME_RATE


def at_frame_rate(tracks, samples):
    """Controls [pieces, frames, COUNT] at 25 a second."""
    return tracks[:, ::controls.TRACK_RATE // controls.FRAME_RATE][:, :frames_of(samples)].float()


def no_features(samples, audio, device):
    """What speech_features() fills: [pieces, states, frames, width] at 25 a second."""
    return torch.zeros(len(samples), audio.layers + 1, frames_of(samples), audio.dim, dtype=torch.half, device=device)


@torch.no_grad()
def speech_features(net, samples, features):
    for begin in range(0, len(samples), 16):
        states = net.hidden(wav2vec2.normalise(samples[begin:begin + 16].float()))
        features[begin:begin + 16] = wav2vec2.video_features(states, features.shape[2]).transpose(0, 1).half()


def with_expression(people, expression):
    return {key: torch.tensor([faces.mimic(e) for e in expression], device=value.device) if key == "mimic" else value
            for key, value in people.items()}


class Clips:
    """A store of clips on the device, filled and refilled a few at a time."""

    def __init__(self, net, tracks, weights_text, split, length, size, device, seed, limit, fuse=lambda f: f):
        self._draw_moving = fuse(faces.draw)
        self._net, self._tracks, self._text, self._split = net, tracks, weights_text, split
        self._length, self._size, self._device, self._seed = length, size, device, seed
        self._limit, self._made, self.store = limit, 0, {}

    def _draw(self, count, rng):
        """Frames of `count` clips [n, 3, 65, h, w], and what is known of them: people, prompts, piece of speech, its frame
        that the clip begins with, whether the clip isn't the video's first."""
        people = training.people(rng, count)
        someone = faces.stack(people, self._device)
        piece = [rng.randrange(len(self._tracks)) for _ in people]
        begin = [rng.randrange(self._tracks.shape[1] - FRAMES) for _ in people]
        later = [rng.random() < 0.6 for _ in people]
        still = torch.zeros(count, 1, controls.COUNT, device=self._device)
        for i in range(count):
            if rng.random() < 0.4:
                still[i, 0] = self._tracks[rng.randrange(len(self._tracks)), rng.randrange(self._tracks.shape[1])]
                still[i, 0, :3] *= torch.tensor([rng.random() < 0.5, 1, rng.random() < 0.2], device=self._device)
        before = [faces.EXPRESSIONS[0] if rng.random() < 0.4 else rng.choice(faces.EXPRESSIONS) for _ in people]
        picture = faces.draw(with_expression(someone, before), still, self._size)
        track = torch.stack([self._tracks[p, b:b + FRAMES] for p, b in zip(piece, begin)])
        other = [rng.randrange(self._tracks.shape[1] - 4) for _ in people]
        first = torch.stack([self._tracks[p, o:o + 4] for p, o in zip(piece, other)])
        moving = self._draw_moving(someone, torch.cat([first, track], 1), self._size)
        after = torch.tensor(later, device=self._device).view(-1, 1, 1, 1, 1)
        between = torch.where(after, moving[:, :, :4], picture.expand(-1, -1, 4, -1, -1))
        frames = torch.cat([picture.expand(-1, -1, STILLS, -1, -1), between, moving[:, :, 4:]], 2)
        return frames, someone, [faces.prompt(p, rng) for p in people], piece, begin, later

    @torch.no_grad()
    def add(self, count):
        rng = training.rng_of("clips", self._seed, self._made)
        frames, someone, prompts, piece, begin, later = self._draw(count, rng)
        latents = vae.normalise(self._net.encode(frames))
        stills = STILLS // 4 + 1
        after = torch.tensor(later, device=self._device)
        reference = torch.where(after.view(-1, 1, 1, 1, 1), latents[:, :, stills:stills + 1], latents[:, :, :1])
        ids, mask = text.batch(self._split, prompts, self._length, self._device)
        new = {"reference": reference.bfloat16(), "stills": latents[:, :, :stills].bfloat16(),
               "latents": latents[:, :, stills + 1:].bfloat16(), "text": text.encode(self._text, ids, mask),
               "near": faces.around_mouth(someone, self._size // 8),
               "piece": torch.tensor(piece, device=self._device), "begin": torch.tensor(begin, device=self._device),
               "later": after}
        for name, value in new.items():
            if name not in self.store:
                self.store[name] = torch.empty(self._limit, *value.shape[1:], dtype=value.dtype, device=self._device)
            at = torch.arange(self._made, self._made + count, device=self._device) % self._limit
            self.store[name][at] = value
        self._made += count

    def begin_anew(self, net, tracks):
        """Empty, with another autoencoder and other speech."""
        self._net, self._tracks, self._made = net, tracks, 0

    @property
    def made(self):
        return self._made

    def __len__(self):
        return min(self._made, self._limit)

    def batch(self, count, generator, features):
        pick = torch.randint(0, len(self), (count,), generator=generator, device=self._device)
        some = {name: value[pick] for name, value in self.store.items()}
        last = some["stills"].shape[2] - 1
        motion = [some["stills"][:, :, min(i, last)] for i in range(19)]
        frames = some["begin"].unsqueeze(1) + torch.arange(FRAMES, device=self._device)
        heard = features[some["piece"].unsqueeze(1), :, frames]  # [n, frames, states, width]
        return {"reference": some["reference"].float(), "motion": torch.stack(motion, 2).float(),
                "latents": some["latents"].float(), "text": some["text"], "later": some["later"], "near": some["near"],
                "features": heard.permute(2, 0, 1, 3)}
