#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/tensor_source.h"

namespace latentcast {

/// Shape of a wav2vec2 encoder with stable layer norm (Baevski et al. 2020; Hugging Face's Wav2Vec2Model).
struct Wav2Vec2Config {
  int64_t hidden = 0, layers = 0, heads = 0, ffn = 0;
  std::vector<int64_t> conv_width, conv_kernel, conv_stride;
  bool conv_bias = true;
  int64_t position_kernel = 0, position_groups = 0;
  double epsilon = 1e-5;
};

/// Shortest sound, in samples, that gives at least one encoder frame.
int64_t shortest_sound(const Wav2Vec2Config& config);

/// Called with hidden state 0 … layers, each [frames, hidden]; the last one is after the closing layer norm.
using HiddenStateSink = std::function<void(int64_t index, const at::Tensor& hidden)>;

/// Called often while a sound is encoded: a long one takes minutes on a CPU.
using EncodingProgress = std::function<void()>;

/// Runs the encoder over a whole sound (mono, 16 kHz), normalised to mean 0 and variance 1 over the file, and
/// hands each hidden state to `sink`: 50 frames a second. Layers are taken, used and dropped one after the
/// other. Throws InputError if the sound is too short for one frame.
void encode_sound(TensorSource& source, const Wav2Vec2Config& config, std::span<const float> samples,
                  const HiddenStateSink& sink, const EncodingProgress& progress);

/// Takes every tensor that encode_sound() takes and computes nothing: on a source without contents, a check.
void check_sound_weights(TensorSource& source, const Wav2Vec2Config& config);

}  // namespace latentcast
