"""The text encoder in PyTorch, and the tokenizer as the program has it; src/model/text computes the same."""

import math

import torch
import torch.nn.functional as F

END, UNKNOWN = 1, 2


class Tokenizer:
    """Unigram segmentation (Kudo 2018) with the pieces of a spiece.model."""

    def __init__(self, pieces):
        self._pieces = {piece: (i, score) for i, (piece, score, kind) in enumerate(pieces) if kind == 1}
        self._longest = max(map(len, self._pieces))
        self._unknown = min(score for _, score in self._pieces.values()) - 10

    def __call__(self, text):
        text = "\u2581" + " ".join(text.split()).replace(" ", "\u2581")
        best = [(0.0, 0, 0)] + [(-math.inf, 0, UNKNOWN)] * len(text)
        for end in range(1, len(text) + 1):
            for begin in range(max(0, end - self._longest), end):
                number, score = self._pieces.get(text[begin:end], (UNKNOWN, None))
                if score is None:
                    if end - begin > 1:
                        continue
                    score = self._unknown
                if best[begin][0] + score > best[end][0]:
                    best[end] = (best[begin][0] + score, begin, number)
        ids, at = [], len(text)
        while at > 0:
            _, at, number = best[at]
            ids.append(number)
        return ids[::-1] + [END]


def bucket(distance, buckets=32, farthest=128):
    half = buckets // 2
    side, d, exact = (half if distance > 0 else 0), abs(distance), half // 2
    if d < exact:
        return side + d
    return side + min(exact + int(math.log(d / exact) / math.log(farthest / exact) * (half - exact)), half - 1)


def rms(x, weight):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * weight


def adjust(weights):
    for name, value in weights.items():
        if name == "token_embedding.weight":
            value *= value.shape[1] ** 0.5
        elif name.endswith(("attn.o.weight", "fc2.weight")):
            value *= 0.3
        elif name.endswith("attn.q.weight"):
            value *= 0.35  # the scores are not divided by √d
        elif "pos_embedding" in name:
            value.zero_()
    return weights


def encode(w, ids, mask):
    """ids [n, tokens], mask [n, tokens] true where there is a token -> [n, tokens, dim], zero elsewhere."""
    x = w["token_embedding.weight"][ids]
    tokens = ids.shape[1]
    table = torch.tensor([[bucket(k - q) for k in range(tokens)] for q in range(tokens)], device=ids.device)
    hidden = torch.zeros(mask.shape, device=x.device).masked_fill(~mask, -1e9)[:, None, None]
    i = 0
    while f"blocks.{i}.attn.q.weight" in w:
        name = f"blocks.{i}."
        heads = w[name + "pos_embedding.embedding.weight"].shape[1]
        h = rms(x, w[name + "norm1.weight"])
        q, k, v = (F.linear(h, w[f"{name}attn.{p}.weight"]).unflatten(-1, (heads, -1)).transpose(1, 2) for p in "qkv")
        bias = w[name + "pos_embedding.embedding.weight"][table].permute(2, 0, 1)
        y = F.scaled_dot_product_attention(q, k, v, bias + hidden, scale=1.0).transpose(1, 2).flatten(2)
        x = x + F.linear(y, w[name + "attn.o.weight"])
        h = rms(x, w[name + "norm2.weight"])
        gate = F.gelu(F.linear(h, w[name + "ffn.gate.0.weight"]), approximate="tanh")
        x = x + F.linear(F.linear(h, w[name + "ffn.fc1.weight"]) * gate, w[name + "ffn.fc2.weight"])
        i += 1
    return rms(x, w["norm.weight"]) * mask.unsqueeze(-1)


def batch(tokenizer, prompts, length, device):
    """(ids, mask) [n, length]."""
    rows = [tokenizer(p)[:length] for p in prompts]
    ids = torch.tensor([r + [0] * (length - len(r)) for r in rows], device=device)
    mask = torch.arange(length, device=device) < torch.tensor([[len(r)] for r in rows], device=device)
    return ids, mask
