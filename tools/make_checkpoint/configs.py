"""The JSON files that lie beside the weights."""

import shapes


def dit(d):
    return {
        "_class_name": "WanModel_S2V", "_diffusers_version": "0.34.0", "model_type": "s2v",
        "dim": d.dit.dim, "ffn_dim": d.dit.ffn, "num_heads": d.dit.heads, "num_layers": d.dit.layers,
        "freq_dim": shapes.TIME_FREQUENCIES, "text_len": d.text.length, "in_dim": shapes.LATENT_CHANNELS,
        "out_dim": shapes.LATENT_CHANNELS, "cond_dim": shapes.LATENT_CHANNELS, "eps": 1e-06,
        "audio_dim": d.audio.dim, "num_audio_token": shapes.AUDIO_TOKENS, "audio_inject_layers": d.dit.inject,
        "enable_adain": True, "adain_mode": "attn_norm", "zero_init": True, "zero_timestep": True,
        "enable_motioner": False, "add_last_motion": True, "enable_tsm": False, "trainable_token_pos_emb": False,
        "motion_token_num": 1024, "enable_framepack": True, "framepack_drop_mode": "padd",
    }


def audio(d, dtype):
    a = d.audio
    return {
        "architectures": ["Wav2Vec2ForCTC"], "model_type": "wav2vec2", "torch_dtype": dtype, "vocab_size": a.vocab,
        "hidden_size": a.dim, "intermediate_size": a.ffn, "num_attention_heads": a.heads,
        "num_hidden_layers": a.layers, "conv_bias": True, "conv_dim": [a.conv] * len(shapes.AUDIO_KERNELS),
        "conv_kernel": list(shapes.AUDIO_KERNELS), "conv_stride": [5, 2, 2, 2, 2, 2, 2],
        "num_feat_extract_layers": len(shapes.AUDIO_KERNELS), "num_conv_pos_embeddings": a.position_kernel,
        "num_conv_pos_embedding_groups": a.position_groups, "do_stable_layer_norm": True,
        "feat_extract_norm": "layer", "feat_extract_activation": "gelu", "hidden_act": "gelu",
        "layer_norm_eps": 1e-05,
    }


def audio_input():
    return {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True, "feature_size": 1,
        "padding_side": "right", "padding_value": 0.0, "return_attention_mask": True, "sampling_rate": 16000,
    }


def tokenizer():
    return {
        "tokenizer_class": "T5Tokenizer", "extra_ids": 300, "eos_token": "</s>", "pad_token": "<pad>",
        "unk_token": "<unk>", "legacy": True, "clean_up_tokenization_spaces": False,
    }
