"""Dimensions of a checkpoint: read from a recipe (JSON) or recovered from an existing checkpoint."""

import dataclasses
import json
import os


@dataclasses.dataclass
class Dit:
    dim: int
    ffn: int
    heads: int
    layers: int
    inject: list  # layers after which sound is added


@dataclasses.dataclass
class Text:
    dim: int
    ffn: int
    heads: int
    layers: int
    vocab: int  # rows of the embedding; 0: as many as the tokenizer needs
    length: int = 512  # tokens a prompt is padded to


@dataclasses.dataclass
class Audio:
    dim: int
    ffn: int
    heads: int
    layers: int
    conv: int  # width of the seven feature convolutions
    position_kernel: int = 16
    position_groups: int = 4
    vocab: int = 8


@dataclasses.dataclass
class Lora:
    rank: int
    injectors: bool = False  # also on the audio injectors' q, k, v, o


@dataclasses.dataclass
class Dims:
    dit: Dit
    text: Text
    audio: Audio
    vae_dim: int
    lora: Lora


def from_recipe(recipe):
    return Dims(Dit(**recipe["dit"]), Text(**recipe["text"]), Audio(**recipe["audio"]),
                recipe["vae_dim"], Lora(**recipe["lora"]))


def _layers(shapes, prefix, suffix):
    return sum(1 for name in shapes if name.startswith(prefix) and name.endswith(suffix))


def from_checkpoint(folder, shapes):
    """The dimensions of the checkpoint in `folder`; `shapes` has the tensors' shapes by component."""
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    with open(os.path.join(folder, "wav2vec2-large-xlsr-53-english", "config.json")) as f:
        wav2vec2 = json.load(f)
    text, lora = shapes["text"], shapes["lora"]
    vocab, text_dim = text["token_embedding.weight"]
    return Dims(
        Dit(config["dim"], config["ffn_dim"], config["num_heads"], config["num_layers"],
            config["audio_inject_layers"]),
        Text(text_dim, text["blocks.0.ffn.fc1.weight"][0], text["blocks.0.pos_embedding.embedding.weight"][1],
             _layers(text, "blocks.", ".norm1.weight"), vocab, config["text_len"]),
        Audio(wav2vec2["hidden_size"], wav2vec2["intermediate_size"], wav2vec2["num_attention_heads"],
              wav2vec2["num_hidden_layers"], wav2vec2["conv_dim"][0], wav2vec2["num_conv_pos_embeddings"],
              wav2vec2["num_conv_pos_embedding_groups"], wav2vec2["vocab_size"]),
        shapes["vae"]["encoder.conv1.weight"][0],
        Lora(next(s[0] for n, s in sorted(lora.items()) if n.endswith(".lora_A.default.weight")),
             any("audio_injector" in n for n in lora)))
