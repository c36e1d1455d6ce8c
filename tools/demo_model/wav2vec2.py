"""The speech encoder in PyTorch; src/model/audio computes the same for one sound."""

import torch
import torch.nn.functional as F

_STRIDES = (5, 2, 2, 2, 2, 2, 2)
HEAD = "lm_head"  # not used by the program: here it says what the face does


def adjust(weights):
    """Attention adds nothing, and stays so: what matters is near, and a sound may be of any length."""
    for name, value in weights.items():
        if "attention.out_proj" in name:
            value.zero_()
        if name.endswith("output_dense.weight"):
            value *= 0.3
    direction = weights["wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight.original1"]
    weights["wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight.original0"] = (
        direction.square().sum((0, 1), keepdim=True).sqrt())
    return weights


FROZEN = tuple(f"wav2vec2.encoder.layers.{i}.attention." for i in range(64)) + ("wav2vec2.masked_spec_embed",)


def normalise(samples):
    """[n, samples], each to mean 0 and deviation 1."""
    samples = samples - samples.mean(1, keepdim=True)
    return samples * torch.rsqrt(samples.square().mean(1, keepdim=True) + 1e-7)


class Wav2Vec2:
    def __init__(self, weights, dims, attend=False):
        self.w, self.a, self.attend = weights, dims.audio, attend

    def _linear(self, name, x):
        return F.linear(x, self.w[name + ".weight"], self.w[name + ".bias"])

    def _norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"], 1e-5)

    def hidden(self, samples):
        """normalise()d samples [n, t] -> all hidden states, each [n, frames, dim]; 50 frames a second."""
        p = "wav2vec2."
        x = samples.unsqueeze(1)
        for i, stride in enumerate(_STRIDES):
            name = f"{p}feature_extractor.conv_layers.{i}"
            x = F.conv1d(x, self.w[name + ".conv.weight"], self.w[name + ".conv.bias"], stride)
            x = F.gelu(self._norm(name + ".layer_norm", x.transpose(1, 2))).transpose(1, 2)
        x = x.transpose(1, 2)
        x = self._linear(p + "feature_projection.projection", self._norm(p + "feature_projection.layer_norm", x))
        position = p + "encoder.pos_conv_embed.conv"
        length, direction = (self.w[f"{position}.parametrizations.weight.original{i}"] for i in (0, 1))
        weight = direction * (length / direction.square().sum((0, 1), keepdim=True).sqrt())
        y = F.conv1d(x.transpose(1, 2), weight, self.w[position + ".bias"], padding=self.a.position_kernel // 2,
                     groups=self.a.position_groups)
        x = x + F.gelu(y[:, :, :x.shape[1]]).transpose(1, 2)
        states = []
        for i in range(self.a.layers):
            states.append(x)
            x = self._layer(f"{p}encoder.layers.{i}", x)
        return states + [self._norm(p + "encoder.layer_norm", x)]

    def _layer(self, name, x):
        if self.attend:
            h = self._norm(name + ".layer_norm", x)
            split = lambda part: self._linear(f"{name}.attention.{part}", h).unflatten(-1, (self.a.heads, -1)).transpose(1, 2)
            y = F.scaled_dot_product_attention(split("q_proj"), split("k_proj"), split("v_proj"))
            x = x + self._linear(name + ".attention.out_proj", y.transpose(1, 2).flatten(2))
        h = self._norm(name + ".final_layer_norm", x)
        return x + self._linear(name + ".feed_forward.output_dense",
                                F.gelu(self._linear(name + ".feed_forward.intermediate_dense", h)))

    def controls(self, states, count):
        return self._linear(HEAD, states[-1])[..., :count]


def video_features(states, frames):
    """Hidden states [n, t, dim] -> [states, n, frames, dim] at 25 a second, as the program takes them."""
    count = int(states[0].shape[1] / 50.0 * 30)
    picks = torch.tensor([min(round(k / 25 * 30), count) for k in range(frames)], device=states[0].device)
    features = []
    for x in states:
        at_30 = F.interpolate(x.transpose(1, 2), size=count, mode="linear", align_corners=True)
        at_30 = F.pad(at_30, (0, 1))  # silence after the end
        features.append(at_30[:, :, picks].transpose(1, 2))
    return torch.stack(features)
