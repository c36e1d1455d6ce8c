"""Random weights of a size that keeps activations of order one through the depth."""

import collections.abc
import zlib

import torch

# Tensors with several dimensions that are no matrices: small offsets and tokens.
_OFFSETS = ("modulation", "padding_tokens")
_WEIGHT_NORM = "pos_conv_embed.conv.parametrizations.weight.original"


def _draw(name, shape, generator):
    def normal():
        return torch.randn(shape, generator=generator, device=generator.device)

    if name.endswith("casual_audio_encoder.weights"):
        return 0.1 + 0.5 * torch.rand(shape, generator=generator, device=generator.device)
    if ".lora_A." in name:
        return normal() / shape[1] ** 0.5
    if ".lora_B." in name:
        return normal() * 0.05
    if name.endswith("gamma") or (len(shape) == 1 and name.endswith("weight")):
        return 1 + 0.1 * normal()
    if len(shape) == 1 or name.endswith(_OFFSETS):
        return 0.1 * normal()
    fan = 1
    for n in shape[1:]:
        fan *= n
    return normal() * (0.9 / fan ** 0.5)


class Drawn(collections.abc.Mapping):
    """A component's tensors, each drawn when it is asked for, so that memory holds one. Each has a generator of its
    own: one more tensor leaves the others as they are. A GPU draws other numbers than a CPU, and much faster."""

    def __init__(self, component, shapes, seed, dtype, device="cpu"):
        self.shapes, self.dtype = shapes, dtype
        self._component, self._seed, self._device = component, seed, device

    def __getitem__(self, name):
        return self._draw(name).to(self.dtype).cpu()

    def __iter__(self):
        return iter(self.shapes)

    def __len__(self):
        return len(self.shapes)

    def _draw(self, name):
        if name.endswith(_WEIGHT_NORM + "0"):  # the length belongs to the direction
            return self._draw(name[:-1] + "1").square().sum((0, 1), keepdim=True).sqrt()
        key = self._seed << 32 | zlib.crc32(f"{self._component}/{name}".encode())
        generator = torch.Generator(self._device).manual_seed(key)
        return _draw(name, self.shapes[name], generator)
