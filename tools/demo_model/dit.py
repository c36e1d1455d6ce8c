"""The transformer in PyTorch: all blocks of some clips at one timestep at once, each seeing itself, the blocks before it
and the condition, as src/model/dit and src/pipeline/stage.cpp compute them block by block from caches."""

import functools

import torch
import torch.nn.functional as F

CHANNELS, BLOCK = 16, 3  # latents a block
WINDOW = 4  # blocks that a block sees, itself counted
REFERENCE_FRAME = 30


def schedule(steps=4, shift=3.0):
    """Sigmas of the sampler, the last 0 not counted; src/model/sampler/euler.cpp."""
    shifted = lambda s: shift * s / (1 + (shift - 1) * s)
    highest, lowest = shifted(1.0) * 1000, shifted(1 / 1000) * 1000
    times = [highest + (lowest - highest) * i / max(1, steps - 1) for i in range(steps)]
    return [shifted(t / 1000) for t in times]


# Not needed here, kept at zero: small to pack. The past is one still, which the finest of the packer's three layers sees.
FROZEN = ("frame_packer.proj_2x.", "frame_packer.proj_4x.", "cond_encoder.weight")
NEAR = 5.0  # how strongly attention looks at its own place to begin with


def look_near(weights, dims):
    """Attention begins by looking at its own row and column: the same bias in queries and keys, where rotation turns fast."""
    half = dims.dit.dim // dims.dit.heads // 2
    side = half // 3
    rows, columns = half - 2 * side, half - side
    for layer in range(dims.dit.layers):
        for part in "qk":
            bias = weights[f"blocks.{layer}.self_attn.{part}.bias"].view(dims.dit.heads, half, 2)
            for pair in (rows, rows + 1, columns, columns + 1):
                bias[:, pair, 0] = NEAR


def adjust(weights, dims):
    """Gates open, what is added small, nothing modulated yet."""
    look_near(weights, dims)
    for name, value in weights.items():
        if name.startswith(FROZEN):
            value.zero_()
        if name.endswith((".o.weight", "ffn.2.weight")):
            value *= 0.3
        elif name.endswith(".modulation") and name.startswith("blocks."):
            value.zero_()
            value[:, 2], value[:, 5] = 1.0, 1.0
        elif name.startswith("time_projection.1") or "injector_adain_layers" in name or name == "head.modulation":
            value *= 0.1
        elif name.startswith("head.head.weight"):
            value *= 0.3
    weights["casual_audio_encoder.weights"].fill_(0.5)
    weights["casual_audio_encoder.weights"][:, -1] = 2.0
    return weights


# ---- rotary positions -------------------------------------------------------------------------------------------------

def _axis(positions, count):
    """positions [...] -> angles [..., count] in double."""
    powers = torch.arange(count, dtype=torch.float64, device=positions.device) / count
    return positions.double().unsqueeze(-1) / 10000.0 ** powers


def _table(frames, rows, columns, head_dim):
    """frames [..., f], rows [h], columns [w] -> (cos, sin), each [..., f·h·w, 1, head_dim / 2], rounded to half."""
    half = head_dim // 2
    side = half // 3
    f, h, w = frames.shape[-1], len(rows), len(columns)
    lead = frames.shape[:-1]
    parts = [_axis(frames, half - 2 * side).view(*lead, f, 1, 1, -1), _axis(rows, side).view(1, h, 1, -1),
             _axis(columns, side).view(1, 1, w, -1)]
    angles = torch.cat([p.expand(*lead, f, h, w, p.shape[-1]) for p in parts], -1).reshape(*lead, f * h * w, 1, half)
    return angles.cos().half().float(), angles.sin().half().float()


def grid_table(first, frames, rows, columns, head_dim):
    """first [...]: the first latent's frame number."""
    count = torch.arange(frames, device=first.device)
    line = lambda n: torch.arange(n, device=first.device)
    return _table(first.unsqueeze(-1) + count, line(rows), line(columns), head_dim)


@functools.lru_cache
def motion_table(rows, columns, head_dim, device):
    spread = lambda last, n: torch.tensor([int(last * i / (n - 1)) if n > 1 else 0 for i in range(n)], device=device)
    tables = []
    for scale, frames in ((1, [-1]), (2, [-3]), (4, [-19, -14, -9, -4])):
        tables.append(_table(torch.tensor(frames, device=device), spread(rows - 1, rows // scale),
                             spread(columns - 1, columns // scale), head_dim))
    return tuple(torch.cat([t[i] for t in tables], 0) for i in (0, 1))


def rotate(x, table):
    """x [n, tokens, heads, d] in float32."""
    cos, sin = table
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).to(x.dtype)


# ---- pieces -----------------------------------------------------------------------------------------------------------

def rms(x, weight):
    y = x.float()
    return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype) * weight.to(x.dtype)


def modulated(x, shift, scale, eps=1e-6):
    return F.layer_norm(x.float(), x.shape[-1:], eps=eps) * (1 + scale) + shift


def patches(latents):
    """[n, 16, f, h, w] -> [n, f·h/2·w/2, 64]."""
    n, c, f, h, w = latents.shape
    x = latents.view(n, c, f, h // 2, 2, w // 2, 2)
    return x.permute(0, 2, 3, 5, 1, 4, 6).reshape(n, f * h * w // 4, c * 4)


def unpatch(x, f, h, w):
    n = x.shape[0]
    x = x.view(n, f, h // 2, w // 2, 2, 2, CHANNELS)
    return x.permute(0, 6, 1, 2, 4, 3, 5).reshape(n, CHANNELS, f, h, w)


def attend(q, k, v):
    """[n, tokens, heads, d] each -> [n, queries, heads · d]."""
    out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return out.transpose(1, 2).flatten(2)


class Dit:
    """`dtype` is what products and attention compute in; everything between is float32."""

    def __init__(self, weights, dims, dtype=torch.float32, fuse=lambda f: f):
        self.w, self.d, self.dtype = weights, dims.dit, dtype
        self.head_dim = dims.dit.dim // dims.dit.heads
        self._block_layer = fuse(self._run_block_layer)
        self._condition_layer = fuse(self._run_condition_layer)
        self.layers = [self._own(f"blocks.{i}.") for i in range(self.d.layers)]
        for i, layer in enumerate(sorted(self.d.inject)):
            self.layers[layer].update(self._own(f"audio_injector.injector.{i}.", "injector."))
            self.layers[layer].update(self._own(f"audio_injector.injector_adain_layers.{i}.linear.", "adain."))

    def _own(self, prefix, to=""):
        """A layer's weights under names that are the same for all layers, so that they share compiled code."""
        return {to + name[len(prefix):]: value for name, value in self.w.items() if name.startswith(prefix)}

    def lin(self, name, x, wide=False, w=None):
        dtype, w = torch.float32 if wide else self.dtype, self.w if w is None else w
        return F.linear(x.to(dtype), w[name + ".weight"].flatten(1).to(dtype), w[name + ".bias"].to(dtype))

    def heads(self, x):
        return x.unflatten(-1, (self.d.heads, self.head_dim))

    def qkv(self, w, name, x, memory=None):
        """Queries of x, keys and values of `memory` (x itself if there is none)."""
        memory = x if memory is None else memory
        return (self.heads(rms(self.lin(name + ".q", x, w=w), w[name + ".norm_q.weight"])),
                self.heads(rms(self.lin(name + ".k", memory, w=w), w[name + ".norm_k.weight"])),
                self.heads(self.lin(name + ".v", memory, w=w)))

    # -- what is computed before the layers --
    def modulation(self, timesteps):
        """timesteps [n] -> (for the head [n, dim], for the layers [n, 6, dim])."""
        half = self.w["time_embedding.0.weight"].shape[1] // 2
        powers = torch.arange(half, dtype=torch.float64, device=timesteps.device) / half
        angles = timesteps.double().unsqueeze(1) * 10000.0 ** -powers
        x = torch.cat([angles.cos(), angles.sin()], 1).float()
        e = self.lin("time_embedding.2", F.silu(self.lin("time_embedding.0", x, True)), True)
        return e, self.lin("time_projection.1", F.silu(e), True).unflatten(1, (6, -1))

    def text(self, embeddings):
        """[n, tokens, text dim], zero rows after the prompt."""
        return self.lin("text_embedding.2", F.gelu(self.lin("text_embedding.0", embeddings), approximate="tanh"))

    def audio(self, features):
        """All hidden states [states, n, frames, width] -> (global [n, latents, dim], local [n, latents, tokens, dim])."""
        w, name = self.w, "casual_audio_encoder.encoder."
        share = F.silu(w["casual_audio_encoder.weights"].flatten())
        x = torch.einsum("snfc,s->nfc", features.float(), share / share.sum())
        n, frames, _ = x.shape
        blocks = frames // (4 * BLOCK)
        x = x.reshape(n * blocks, 4 * BLOCK, -1)
        # The first frame stands for those before it, 73 in the program; what is kept sees no more than five of them.
        x = torch.cat([x[:, :1].expand(-1, 13, -1), x], 1).transpose(1, 2)
        tokens = w[name + "conv1_local.conv.weight"].shape[0] // (self.d.dim // 4)

        def conv(x, part, stride, groups):
            y = F.conv1d(F.pad(x, (2, 0), mode="replicate"), w[name + part + ".conv.weight"],
                         w[name + part + ".conv.bias"], stride)
            y = y.reshape(y.shape[0] * groups, y.shape[1] // groups, y.shape[2]).transpose(1, 2)
            return F.silu(F.layer_norm(y, y.shape[-1:], eps=1e-6))

        def shorten(y):
            return conv(conv(y.transpose(1, 2), "conv2", 2, 1).transpose(1, 2), "conv3", 2, 1)[:, -BLOCK:]

        local = shorten(conv(x, "conv1_local", 1, tokens)).view(n, blocks, tokens, BLOCK, -1)
        local = local.transpose(2, 3).reshape(n, blocks * BLOCK, tokens, -1)
        padding = w[name + "padding_tokens"].expand(n, blocks * BLOCK, 1, -1)
        whole = self.lin(name + "final_linear", shorten(conv(x, "conv1_global", 1, 1)), True)
        return whole.reshape(n, blocks * BLOCK, -1), torch.cat([local, padding], 2)

    # -- layers --
    def _finish(self, w, x, y, e, text):
        r = x + self.lin("self_attn.o", y, w=w).float() * e[:, 2:3]
        h = F.layer_norm(r, r.shape[-1:], w["norm3.weight"], w["norm3.bias"], 1e-6)
        r = r + self.lin("cross_attn.o", attend(*self.qkv(w, "cross_attn", h, text)), w=w).float()
        up = F.gelu(self.lin("ffn.0", modulated(r, e[:, 3:4], e[:, 4:5]), w=w), approximate="tanh")
        return r + self.lin("ffn.2", up, w=w).float() * e[:, 5:6]

    def _run_condition_layer(self, w, x, mod, table, text, last):
        e = w["modulation"] + mod
        q, k, v = self.qkv(w, "self_attn", modulated(x, e[:, 0:1], e[:, 1:2]))
        if last:
            return x, k, v
        return self._finish(w, x, attend(rotate(q, table), rotate(k, table), v), e, text), k, v

    def _run_block_layer(self, w, x, mod, table, condition_tables, text, ck, cv, whole, local):
        """x [n, blocks · tokens, dim]."""
        e = w["modulation"] + mod
        q, k, v = self.qkv(w, "self_attn", modulated(x, e[:, 0:1], e[:, 1:2]))
        q, k = rotate(q, table), rotate(k, table)
        size = x.shape[1] // len(condition_tables)
        mixed = []
        for b, condition_table in enumerate(condition_tables):
            begin, end = max(0, b + 1 - WINDOW) * size, (b + 1) * size
            keys = torch.cat([k[:, begin:end], rotate(ck, condition_table)], 1)
            values = torch.cat([v[:, begin:end], cv], 1)
            mixed.append(attend(q[:, b * size:end], keys, values))
        x = self._finish(w, x, torch.cat(mixed, 1), e, text)
        return self._inject(w, x, whole, local) if "adain.weight" in w else x

    def _inject(self, w, x, whole, local):
        n, latents, dim = whole.shape
        shift, scale = self.lin("adain", F.silu(whole), w=w).float().chunk(2, -1)
        h = modulated(x.reshape(n * latents, -1, dim), shift.reshape(-1, 1, dim), scale.reshape(-1, 1, dim), 1e-5)
        out = self.lin("injector.o", attend(*self.qkv(w, "injector", h, local.flatten(0, 1))), w=w)
        return x + out.float().reshape(x.shape)

    # -- passes --
    def condition(self, reference, motion, text):
        """reference [n, 16, 1, h, w], motion [n, 16, 19, h, w], oldest first -> [(k, v)] a layer, not rotated."""
        n, _, _, h, w = reference.shape
        mask = self.w["trainable_cond_mask.weight"]
        parts = [self.lin("patch_embedding", patches(reference)).float() + mask[1]]
        end = motion.shape[2]
        for name, span, scale in (("proj", 1, 1), ("proj_2x", 2, 2), ("proj_4x", 16, 4)):
            weight, bias = (self.w[f"frame_packer.{name}.{part}"].to(self.dtype) for part in ("weight", "bias"))
            grid = F.conv3d(motion[:, :, end - span:end].to(self.dtype), weight, bias, weight.shape[2:])
            parts.append(grid.flatten(2).transpose(1, 2).float() + mask[2])
            end -= span
        x = torch.cat(parts, 1)
        still = grid_table(torch.full((), REFERENCE_FRAME, device=x.device), 1, h // 2, w // 2, self.head_dim)
        past = motion_table(h // 2, w // 2, self.head_dim, x.device)
        table = tuple(torch.cat([a, b], 0) for a, b in zip(still, past))
        _, mod = self.modulation(torch.zeros(1, device=x.device))
        kept = []
        for layer in range(self.d.layers):
            x, k, v = self._condition_layer(self.layers[layer], x, mod, table, text, layer == self.d.layers - 1)
            kept.append((k, v))
        return kept

    def tables(self, first_block, blocks, distance, h, w):
        """first_block [n], distance [n, blocks] -> tables of the noisy tokens and, a block, of the condition."""
        rows, columns = h // 2, w // 2
        noisy = grid_table(first_block * BLOCK, blocks * BLOCK, rows, columns, self.head_dim)
        past = motion_table(rows, columns, self.head_dim, first_block.device)
        conditions = []
        for b in range(blocks):
            at = (first_block + b) * BLOCK
            shift = (at - (REFERENCE_FRAME - distance[:, b])).clamp_min(0)
            still = grid_table(REFERENCE_FRAME + shift, 1, rows, columns, self.head_dim)
            conditions.append(tuple(torch.cat([a, p.expand(len(at), *p.shape)], 1) for a, p in zip(still, past)))
        return noisy, conditions

    def velocity(self, latents, timesteps, text, condition, audio, tables):
        """latents [n, 16, blocks · 3, h, w], timesteps [n] -> velocities."""
        n, _, f, h, w = latents.shape
        x = self.lin("patch_embedding", patches(latents)).float() + self.w["cond_encoder.bias"]
        x = x + self.w["trainable_cond_mask.weight"][0]
        e, mod = self.modulation(timesteps)
        for layer in range(self.d.layers):
            x = self._block_layer(self.layers[layer], x, mod, tables[0], tables[1], text, *condition[layer], *audio)
        shift, scale = (self.w["head.modulation"] + e.unsqueeze(1)).split(1, 1)
        x = modulated(x, shift, scale)
        return unpatch(self.lin("head.head", x, True), f, h, w)
