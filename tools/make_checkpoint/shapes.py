"""Names and shapes of every tensor of a checkpoint, as functions of its dimensions."""

LATENT_CHANNELS = 16
AUDIO_TOKENS = 4
TIME_FREQUENCIES = 256


class Shapes(dict):
    """name -> shape, with the few kinds of layers that occur."""

    def linear(self, name, out, inputs, kernel=()):
        self[name + ".weight"] = (out, inputs, *kernel)
        self[name + ".bias"] = (out,)

    def norm(self, name, width):
        self[name + ".weight"] = (width,)
        self[name + ".bias"] = (width,)


def _attention(s, name, dim):
    for part in "qkvo":
        s.linear(f"{name}.{part}", dim, dim)
    for part in "qk":
        s[f"{name}.norm_{part}.weight"] = (dim,)


def dit(d):
    """The diffusion transformer."""
    s, dim = Shapes(), d.dit.dim
    for i in range(d.dit.layers):
        block = f"blocks.{i}"
        _attention(s, block + ".self_attn", dim)
        _attention(s, block + ".cross_attn", dim)
        s.linear(block + ".ffn.0", d.dit.ffn, dim)
        s.linear(block + ".ffn.2", dim, d.dit.ffn)
        s.norm(block + ".norm3", dim)
        s[block + ".modulation"] = (1, 6, dim)
    for i in range(len(d.dit.inject)):
        _attention(s, f"audio_injector.injector.{i}", dim)
        s.linear(f"audio_injector.injector_adain_layers.{i}.linear", 2 * dim, dim)
    _audio_tokens(s, dim, d.audio)
    patch = (1, 2, 2)
    s.linear("patch_embedding", dim, LATENT_CHANNELS, patch)
    s.linear("cond_encoder", dim, LATENT_CHANNELS, patch)
    for name, scale in (("proj", 1), ("proj_2x", 2), ("proj_4x", 4)):
        s.linear("frame_packer." + name, dim, LATENT_CHANNELS, (scale, 2 * scale, 2 * scale))
    s["trainable_cond_mask.weight"] = (3, dim)
    s.linear("text_embedding.0", dim, d.text.dim)
    s.linear("text_embedding.2", dim, dim)
    s.linear("time_embedding.0", dim, TIME_FREQUENCIES)
    s.linear("time_embedding.2", dim, dim)
    s.linear("time_projection.1", 6 * dim, dim)
    s.linear("head.head", LATENT_CHANNELS * 4, dim)
    s["head.modulation"] = (1, 2, dim)
    return s


def _audio_tokens(s, dim, audio):
    name = "casual_audio_encoder"  # sic: the public name
    kernel = (3,)
    s[name + ".weights"] = (1, audio.layers + 1, 1, 1)
    name += ".encoder"
    s.linear(name + ".conv1_local.conv", dim // 4 * AUDIO_TOKENS, audio.dim, kernel)
    s.linear(name + ".conv1_global.conv", dim // 4, audio.dim, kernel)
    s.linear(name + ".conv2.conv", dim // 2, dim // 4, kernel)
    s.linear(name + ".conv3.conv", dim, dim // 2, kernel)
    s.linear(name + ".final_linear", dim, dim)
    s[name + ".padding_tokens"] = (1, 1, 1, dim)


def lora(d):
    """Low-rank changes of the transformer's products."""
    s = Shapes()
    prefixes = ("blocks.", "audio_injector.injector.") if d.lora.injectors else ("blocks.",)
    for name, shape in dit(d).items():
        base, _, kind = name.rpartition(".")
        if kind == "weight" and len(shape) == 2 and name.startswith(prefixes):
            s[base + ".lora_A.default.weight"] = (d.lora.rank, shape[1])
            s[base + ".lora_B.default.weight"] = (shape[0], d.lora.rank)
    return s


def text(d):
    """The umT5 encoder."""
    s, t = Shapes(), d.text
    s["token_embedding.weight"] = (t.vocab, t.dim)
    for i in range(t.layers):
        block = f"blocks.{i}"
        s[block + ".norm1.weight"] = (t.dim,)
        for part in "qkvo":
            s[f"{block}.attn.{part}.weight"] = (t.dim, t.dim)
        s[block + ".norm2.weight"] = (t.dim,)
        s[block + ".ffn.gate.0.weight"] = (t.ffn, t.dim)
        s[block + ".ffn.fc1.weight"] = (t.ffn, t.dim)
        s[block + ".ffn.fc2.weight"] = (t.dim, t.ffn)
        s[block + ".pos_embedding.embedding.weight"] = (32, t.heads)
    s["norm.weight"] = (t.dim,)
    return s


AUDIO_KERNELS = (10, 3, 3, 3, 3, 2, 2)


def audio(d):
    """wav2vec2 with its (unused) letter head, as Hugging Face stores it."""
    s, a = Shapes(), d.audio
    s.linear("lm_head", a.vocab, a.dim)
    s["wav2vec2.masked_spec_embed"] = (a.dim,)
    for i, kernel in enumerate(AUDIO_KERNELS):
        layer = f"wav2vec2.feature_extractor.conv_layers.{i}"
        s.linear(layer + ".conv", a.conv, a.conv if i else 1, (kernel,))
        s.norm(layer + ".layer_norm", a.conv)
    s.norm("wav2vec2.feature_projection.layer_norm", a.conv)
    s.linear("wav2vec2.feature_projection.projection", a.dim, a.conv)
    encoder = "wav2vec2.encoder"
    position = encoder + ".pos_conv_embed.conv"
    s[position + ".bias"] = (a.dim,)
    s[position + ".parametrizations.weight.original0"] = (1, 1, a.position_kernel)
    s[position + ".parametrizations.weight.original1"] = (a.dim, a.dim // a.position_groups, a.position_kernel)
    s.norm(encoder + ".layer_norm", a.dim)
    for i in range(a.layers):
        layer = f"{encoder}.layers.{i}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            s.linear(f"{layer}.attention.{part}", a.dim, a.dim)
        s.linear(layer + ".feed_forward.intermediate_dense", a.ffn, a.dim)
        s.linear(layer + ".feed_forward.output_dense", a.dim, a.ffn)
        s.norm(layer + ".layer_norm", a.dim)
        s.norm(layer + ".final_layer_norm", a.dim)
    return s


class _Vae(Shapes):
    def residual(self, name, inputs, out):
        cube = (3, 3, 3)
        self[name + ".residual.0.gamma"] = (inputs, 1, 1, 1)
        self.linear(name + ".residual.2", out, inputs, cube)
        self[name + ".residual.3.gamma"] = (out, 1, 1, 1)
        self.linear(name + ".residual.6", out, out, cube)
        if inputs != out:
            self.linear(name + ".shortcut", out, inputs, (1, 1, 1))

    def middle(self, name, width):
        self.residual(name + ".0", width, width)
        self[name + ".1.norm.gamma"] = (width, 1, 1)
        self.linear(name + ".1.to_qkv", 3 * width, width, (1, 1))
        self.linear(name + ".1.proj", width, width, (1, 1))
        self.residual(name + ".2", width, width)

    def head(self, name, width, out):
        self[name + ".0.gamma"] = (width, 1, 1, 1)
        self.linear(name + ".2", out, width, (3, 3, 3))


def vae(d):
    """The video autoencoder."""
    s, dim, z = _Vae(), d.vae_dim, LATENT_CHANNELS
    _encoder(s, [dim, dim, 2 * dim, 4 * dim, 4 * dim], 2 * z)
    s.linear("conv1", 2 * z, 2 * z, (1, 1, 1))
    s.linear("conv2", z, z, (1, 1, 1))
    _decoder(s, [4 * dim, 4 * dim, 4 * dim, 2 * dim, dim], z)
    return s


def _encoder(s, widths, out):
    s.linear("encoder.conv1", widths[0], 3, (3, 3, 3))
    n = 0
    for stage in range(4):
        for block in range(2):
            s.residual(f"encoder.downsamples.{n}", widths[stage if block == 0 else stage + 1], widths[stage + 1])
            n += 1
        if stage < 3:
            width = widths[stage + 1]
            s.linear(f"encoder.downsamples.{n}.resample.1", width, width, (3, 3))
            if stage > 0:  # the first halves space only
                s.linear(f"encoder.downsamples.{n}.time_conv", width, width, (3, 1, 1))
            n += 1
    s.middle("encoder.middle", widths[-1])
    s.head("encoder.head", widths[-1], out)


def _decoder(s, widths, z):
    s.linear("decoder.conv1", widths[0], z, (3, 3, 3))
    s.middle("decoder.middle", widths[0])
    n, width = 0, widths[0]
    for stage in range(4):
        for _ in range(3):
            s.residual(f"decoder.upsamples.{n}", width, widths[stage + 1])
            width = widths[stage + 1]
            n += 1
        if stage < 3:
            s.linear(f"decoder.upsamples.{n}.resample.1", width // 2, width, (3, 3))
            if stage < 2:  # the last doubles space only
                s.linear(f"decoder.upsamples.{n}.time_conv", 2 * width, width, (3, 1, 1))
            width //= 2
            n += 1
    s.head("decoder.head", widths[-1], 3)


COMPONENTS = {"dit": dit, "lora": lora, "text": text, "audio": audio, "vae": vae}
