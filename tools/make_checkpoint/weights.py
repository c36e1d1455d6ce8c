"""Random weights of a size that keeps activations of order one through the depth."""

import zlib

import torch

# Tensors with several dimensions that are no matrices: small offsets and tokens.
_OFFSETS = ("modulation", "padding_tokens")


def _draw(name, shape, generator):
    def normal():
        return torch.randn(shape, generator=generator)

    if name.endswith("casual_audio_encoder.weights"):
        return 0.1 + 0.5 * torch.rand(shape, generator=generator)
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


def make(component, shapes, seed, dtype):
    """Each tensor has a generator of its own, so that one more tensor leaves the others as they are."""
    tensors = {}
    for name, shape in shapes.items():
        generator = torch.Generator().manual_seed(seed << 32 | zlib.crc32(f"{component}/{name}".encode()))
        tensors[name] = _draw(name, shape, generator)
    stem = "wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight.original"
    if stem + "0" in tensors:  # weight norm: the length belongs to the direction
        tensors[stem + "0"] = tensors[stem + "1"].square().sum((0, 1), keepdim=True).sqrt()
    return {name: t.to(dtype) for name, t in tensors.items()}
