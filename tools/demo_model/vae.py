"""The causal video autoencoder in PyTorch, whole sequences at once; src/model/vae computes the same piece by piece."""

import math

import torch
import torch.nn.functional as F

CHANNELS = 16
# The mean and deviation a channel of the raw latents, fixed in src/model/vae/latent_scale.cpp.
MEAN = (-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632, -0.1922,
        -0.9497, 0.2503, -0.2921)
DEVIATION = (2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382,
             1.1253, 2.8251, 1.9160)


def adjust(weights):
    """A residual block starts as nearly nothing."""
    for name, value in weights.items():
        if value.shape[2:] == (3, 3, 3):
            value *= 3 ** 0.5  # one tap of three is left
        if name.endswith("residual.6.weight"):
            value *= 0.2
    return short_memory(weights)


def short_memory(weights):
    """Takes the past out of all convolutions but those that halve and double time, and the attention out: three latents
    after a change nothing remembers it, so short clips teach all that a long video needs, and cost a third."""
    for name, value in weights.items():
        if value.shape[2:] == (3, 3, 3):
            value[:, :, :-1] = 0
        if ".middle.1." in name:
            value.zero_()
    return weights


FROZEN = ("encoder.middle.1.", "decoder.middle.1.")
ENCODER = ("encoder.", "conv1.")


def wide(x):
    return x if x.dtype == torch.float64 else x.float()


def in_order(x):
    """Channels innermost, on a GPU."""
    return x.contiguous(memory_format=torch.channels_last_3d) if x.is_cuda else x


def norm_silu(x, gamma):
    """silu(x / ‖x‖ · √channels · gamma)."""
    y = wide(x)
    y = y * torch.rsqrt(y.square().mean(1, keepdim=True) + 1e-12)
    return F.silu(y * gamma.float().view(1, -1, 1, 1, 1)).to(x.dtype)


class Vae:
    """[n, channels, frames, h, w] throughout. `dtype` is what convolutions compute in; `planes` does those in space and
    time as convolutions of planes with three times the channels, which may be faster. `short` is for weights made by
    short_memory(): what is zero there isn't computed."""

    def __init__(self, weights, dtype=torch.float32, fuse=lambda f: f, planes=False, short=False):
        self.w, self.dtype, self.planes, self.short = weights, dtype, planes or short, short
        self._norm_silu = fuse(norm_silu)

    def _conv(self, name, x, stride=(1, 1, 1), past=True, side=None):
        weight, bias = self.w[name + ".weight"], self.w[name + ".bias"]
        if weight.dim() == 4:
            weight = weight.unsqueeze(2)
        if self.short and weight.shape[2:] == (3, 3, 3):
            weight = weight[:, :, -1:]
        if past and weight.shape[2] > 1:
            x = F.pad(x, (0, 0, 0, 0, weight.shape[2] - 1, 0))
        side = weight.shape[3] // 2 if side is None else side
        if self.planes:
            return self._conv_planes(x, weight.to(self.dtype), bias.to(self.dtype), stride, side)
        return F.conv3d(x, weight.to(self.dtype), bias.to(self.dtype), stride, (0, side, side))

    def _conv_planes(self, x, weight, bias, stride, side):
        n, c, t, h, w = x.shape
        depth, step = weight.shape[2], stride[0]
        t = (t - depth) // step + 1
        x = x.permute(0, 2, 3, 4, 1)
        if depth > 1:
            x = torch.cat([x[:, i:i + (t - 1) * step + 1:step] for i in range(depth)], -1)
        x = x.reshape(n * t, h, w, depth * c).permute(0, 3, 1, 2)
        flat = weight.transpose(1, 2).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        y = F.conv2d(x, flat, bias, stride[1:], side)
        return y.permute(0, 2, 3, 1).reshape(n, t, *y.shape[2:], y.shape[1]).permute(0, 4, 1, 2, 3)

    def _activate(self, name, x):
        return self._norm_silu(x, self.w[name + ".gamma"])

    def _residual(self, name, x):
        y = self._conv(name + ".residual.2", self._activate(name + ".residual.0", x))
        y = self._conv(name + ".residual.6", self._activate(name + ".residual.3", y))
        return y + (self._conv(name + ".shortcut", x) if name + ".shortcut.weight" in self.w else x)

    def _attention(self, name, x):
        n, c, t, h, w = x.shape
        y = wide(x)
        y = y * torch.rsqrt(y.square().mean(1, keepdim=True) + 1e-12) * self.w[name + ".norm.gamma"].view(1, -1, 1, 1, 1)
        y = y.to(self.dtype).permute(0, 2, 3, 4, 1).reshape(n * t, 1, h * w, c)
        linear = lambda part, v: F.linear(v, self.w[f"{name}.{part}.weight"].flatten(1).to(self.dtype),
                                          self.w[f"{name}.{part}.bias"].to(self.dtype))
        y = linear("proj", F.scaled_dot_product_attention(*linear("to_qkv", y).chunk(3, -1)))
        return x + y.view(n, t, h, w, c).permute(0, 4, 1, 2, 3)

    def _middle(self, name, x):
        x = self._residual(name + ".0", x)
        return self._residual(name + ".2", x if self.short else self._attention(name + ".1", x))

    def encode(self, frames):
        """frames [n, 3, 1 + 4m, H, W] in -1..1 -> raw latents' means [n, 16, 1 + m, H/8, W/8]."""
        x = frames.to(self.dtype)
        x = self._conv("encoder.conv1", in_order(x))
        i = 0
        while True:
            name = f"encoder.downsamples.{i}"
            if name + ".residual.2.weight" in self.w:
                x = self._residual(name, x)
            elif name + ".resample.1.weight" in self.w:
                x = self._conv(name + ".resample.1", F.pad(x, (0, 1, 0, 1)), (1, 2, 2), past=False, side=0)
                if name + ".time_conv.weight" in self.w and x.shape[2] > 1:
                    later = self._conv(name + ".time_conv", x, (2, 1, 1), past=False, side=0)
                    x = in_order(torch.cat([x[:, :, :1], later], 2))
            else:
                break
            i += 1
        x = self._middle("encoder.middle", x)
        x = self._conv("encoder.head.2", self._activate("encoder.head.0", x))
        return self._conv("conv1", x)[:, :CHANNELS].float()

    def decode(self, raw):
        """Raw latents from the video's start on -> frames [n, 3, 1 + 4m, H, W], not clamped."""
        x = self._conv("conv2", raw.to(self.dtype))
        x = self._conv("decoder.conv1", in_order(x))
        x = self._middle("decoder.middle", x)
        i = 0
        while True:
            name = f"decoder.upsamples.{i}"
            if name + ".residual.2.weight" in self.w:
                x = self._residual(name, x)
            elif name + ".resample.1.weight" in self.w:
                if name + ".time_conv.weight" in self.w and x.shape[2] > 1:
                    later = self._conv(name + ".time_conv", x[:, :, 1:])
                    n, c, t, h, w = later.shape
                    later = later.view(n, 2, c // 2, t, h, w).permute(0, 2, 3, 1, 4, 5).reshape(n, c // 2, 2 * t, h, w)
                    x = in_order(torch.cat([x[:, :, :1], later], 2))
                n, c, t, h, w = x.shape
                x = F.interpolate(x.transpose(1, 2).reshape(n * t, c, h, w), scale_factor=2, mode="nearest")
                x = self._conv(name + ".resample.1", x.view(n, t, c, 2 * h, 2 * w).transpose(1, 2))
            else:
                break
            i += 1
        return self._conv("decoder.head.2", self._activate("decoder.head.0", x)).float()


def constants(device):
    mean, deviation = (torch.tensor(v, device=device).view(1, CHANNELS, 1, 1, 1) for v in (MEAN, DEVIATION))
    return mean, deviation


def normalise(raw):
    mean, deviation = constants(raw.device)
    return (raw - mean) / deviation


def denormalise(latents):
    mean, deviation = constants(latents.device)
    return latents * deviation + mean


def fold(weights, mean, deviation):
    """Changes the last convolution of the encoder and the first of the decoder so that raw latents, which had this mean
    and deviation a channel, have those that the program assumes. The pictures stay what they are."""
    with torch.no_grad():
        their_mean, their_deviation = (t.flatten() for t in constants(mean.device))
        gain = their_deviation / deviation
        weights["conv1.weight"][:CHANNELS] *= gain.view(-1, 1, 1, 1, 1)
        weights["conv1.bias"][:CHANNELS] = (weights["conv1.bias"][:CHANNELS] - mean) * gain + their_mean
        matrix = weights["conv2.weight"].flatten(1)
        weights["conv2.bias"] += matrix @ (mean - their_mean / gain)
        weights["conv2.weight"] /= gain.view(1, -1, 1, 1, 1)


def psnr(a, b):
    """Of frames in -1..1."""
    return -10 * math.log10(max(((a.clamp(-1, 1) - b) / 2).square().mean().item(), 1e-12))
