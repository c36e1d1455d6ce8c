#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/layers.h"
#include "latentcast/model/tensor_source.h"

namespace latentcast {

/// Dimensions of the causal S2V transformer, from config.json and from the tensors' shapes.
struct DitConfig {
  int64_t dim = 0, ffn_dim = 0, heads = 0, layers = 0;
  int64_t freq_dim = 256, text_dim = 0, text_len = 512;
  int64_t audio_dim = 0, audio_layers = 0,
          audio_tokens = 0;            ///< tokens a frame, the padding token not counted
  std::vector<int64_t> inject_layers;  ///< layers after which the sound is injected, ascending
  double eps = 1e-6;

  int64_t head_dim() const { return dim / heads; }
};

/// Query, key, value and output products [dim, dim] with RMS norms of q and k over the full width.
struct AttentionWeights {
  Linear q, k, v, o;
  Linear query_key_value;  ///< q, k and v as one product, views of them; undefined where they lie apart
  at::Tensor norm_q, norm_k;
};

/// Adaptive layer norm from the global audio token, then attention to the frame's audio tokens.
struct InjectorWeights {
  Linear adain;  ///< [2 · dim, dim]: shift, then scale
  AttentionWeights attention;
};

struct DitLayerWeights {
  at::Tensor modulation;  ///< [6, dim] float32: shift, scale, gate of the self-attention, then of the ffn
  AttentionWeights self_attention, cross_attention;
  at::Tensor norm3_weight, norm3_bias;
  Linear ffn_up, ffn_down;
  std::optional<InjectorWeights> injector;
};

/// The causal encoder that turns a block's audio features into tokens; float32.
struct AudioEncoderWeights {
  at::Tensor layer_weights;  ///< [audio layers]: how much each hidden state of wav2vec2 counts, summing to 1
  at::Tensor conv_local_weight, conv_local_bias, conv_global_weight, conv_global_bias;
  at::Tensor conv2_weight, conv2_bias, conv3_weight, conv3_bias;
  Linear final_linear;
  at::Tensor padding_token;  ///< [dim]
};

/// Everything but the layers.
struct DitGlobalWeights {
  Linear patch, pose_patch;                     ///< [dim, 16·1·2·2]
  Linear text1, text2;                          ///< text embedding
  Linear time1, time2, time_projection;         ///< float32
  at::Tensor condition_mask;                    ///< [3, dim]: noisy, reference, motion
  at::Tensor motion_weight[3], motion_bias[3];  ///< newest latent, next 2, next 16
  at::Tensor head_modulation;                   ///< [2, dim] float32
  Linear head;                                  ///< [1·2·2·16, dim] float32
  AudioEncoderWeights audio;
};

/// Fills in what follows from shapes (text_dim, audio_layers, …) and checks it against the file's own
/// figures.
DitConfig complete_config(DitConfig config, const TensorSource& source);

/// AudioEncoderWeights::layer_weights alone, which the audio encoder's side needs before the rest is loaded.
at::Tensor take_audio_layer_weights(TensorSource& source, const DitConfig& config);
DitGlobalWeights take_dit_globals(TensorSource& source, const DitConfig& config);
DitLayerWeights take_dit_layer(TensorSource& source, const DitConfig& config, int64_t layer);

/// What stays as it is with an Fp8Source: names in the checkpoint, * stands for anything.
std::vector<std::string> names_not_in_fp8();

/// Throws InputError naming the dimension if products in 8 bits can't be had in the model's sizes.
void check_fp8(const DitConfig& config);

/// Bytes of the tensors that are there.
int64_t weight_bytes(const DitLayerWeights& weights);
int64_t weight_bytes(const DitGlobalWeights& weights);

/// Gives the layers in the order in which a pass walks through them. Whole weights simply stay; sharded ones
/// are gathered ahead and dropped after use.
class LayerProvider {
 public:
  virtual ~LayerProvider() = default;
  /// Valid until the next call.
  virtual const DitLayerWeights& acquire(int64_t layer) = 0;
};

/// Layers [begin, end) held whole, for a rank that has no others.
class RangeOfLayers : public LayerProvider {
 public:
  /// Takes nothing but these layers' tensors, so the source's finish() would complain of the others. Throws
  /// InternalError if the model hasn't these layers.
  RangeOfLayers(TensorSource& source, const DitConfig& config, int64_t begin, int64_t end);
  /// `layer` counts from the model's first. Throws InternalError if it isn't held.
  const DitLayerWeights& acquire(int64_t layer) override;
  int64_t bytes() const;

 private:
  int64_t begin_;
  std::vector<DitLayerWeights> layers_;
};

/// All layers held whole.
class ResidentLayers : public RangeOfLayers {
 public:
  ResidentLayers(TensorSource& source, const DitConfig& config)
      : RangeOfLayers(source, config, 0, config.layers) {}
};

}  // namespace latentcast
