#include "latentcast/model/dit/weights.h"

namespace latentcast {
namespace {

int64_t bytes(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<int64_t>(tensor.nbytes()) : 0;
}

int64_t bytes(const Linear& linear) {
  return bytes(linear.weight) + bytes(linear.bias) + bytes(linear.scale);
}

int64_t bytes(const AttentionWeights& w) {
  return bytes(w.q) + bytes(w.k) + bytes(w.v) + bytes(w.o) + bytes(w.norm_q) + bytes(w.norm_k);
}

int64_t bytes(const AudioEncoderWeights& w) {
  return bytes(w.layer_weights) + bytes(w.conv_local_weight) + bytes(w.conv_local_bias) +
         bytes(w.conv_global_weight) + bytes(w.conv_global_bias) + bytes(w.conv2_weight) +
         bytes(w.conv2_bias) + bytes(w.conv3_weight) + bytes(w.conv3_bias) + bytes(w.final_linear) +
         bytes(w.padding_token);
}

}  // namespace

int64_t weight_bytes(const DitLayerWeights& w) {
  int64_t sum = bytes(w.modulation) + bytes(w.self_attention) + bytes(w.cross_attention) +
                bytes(w.norm3_weight) + bytes(w.norm3_bias) + bytes(w.ffn_up) + bytes(w.ffn_down);
  if (w.injector) sum += bytes(w.injector->adain) + bytes(w.injector->attention);
  return sum;
}

int64_t weight_bytes(const DitGlobalWeights& w) {
  int64_t sum = bytes(w.patch) + bytes(w.pose_patch) + bytes(w.text1) + bytes(w.text2) + bytes(w.time1) +
                bytes(w.time2) + bytes(w.time_projection) + bytes(w.condition_mask) +
                bytes(w.head_modulation) + bytes(w.head) + bytes(w.audio);
  for (size_t i = 0; i < 3; ++i) sum += bytes(w.motion_weight[i]) + bytes(w.motion_bias[i]);
  return sum;
}

}  // namespace latentcast
