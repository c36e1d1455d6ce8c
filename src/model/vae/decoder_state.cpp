#include <functional>
#include <numeric>

#include "latentcast/model/vae/decoder.h"

namespace latentcast {
namespace {

/// Adds up weights and what causal convolutions keep, along the way of VaeDecoder::run().
class Sizes {
 public:
  Sizes(const TensorSource& source, int64_t rows, int64_t columns)
      : source_(source), pixels_(rows * columns) {}

  /// Without a past, or not there.
  void product(const std::string& name) {
    if (source_.has(name + ".weight")) count(source_.shape(name + ".weight"));
  }

  /// The last frames of its input: one less than its kernel is long.
  void convolution(const std::string& name) {
    const std::vector<int64_t> shape = source_.shape(name + ".weight");
    sum_.state += shape.at(1) * (shape.at(2) - 1) * pixels_;
    count(shape);
  }
  void residual_block(const std::string& name) {
    convolution(name + ".residual.2");
    convolution(name + ".residual.6");
    product(name + ".shortcut");
  }
  void upsample(const std::string& name) {
    product(name + ".resample.1");
    if (source_.has(name + ".time_conv.weight")) {
      convolution(name + ".time_conv");
    }
    pixels_ *= 4;
  }
  DecoderElements sum() const { return sum_; }

 private:
  /// The weight and its bias.
  void count(const std::vector<int64_t>& shape) {
    sum_.weights +=
        std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>()) + shape.at(0);
  }

  const TensorSource& source_;
  int64_t pixels_;
  DecoderElements sum_;
};

}  // namespace

DecoderElements decoder_elements(const TensorSource& source, int64_t rows, int64_t columns) {
  Sizes size(source, rows, columns);
  size.product("conv2");
  size.convolution("decoder.conv1");
  size.residual_block("decoder.middle.0");
  size.product("decoder.middle.1.to_qkv");
  size.product("decoder.middle.1.proj");
  size.residual_block("decoder.middle.2");
  for (int i = 0;; ++i) {
    const std::string name = "decoder.upsamples." + std::to_string(i);
    if (source.has(name + ".residual.2.weight")) {
      size.residual_block(name);
    } else if (source.has(name + ".resample.1.weight")) {
      size.upsample(name);
    } else {
      size.convolution("decoder.head.2");
      return size.sum();
    }
  }
}

int64_t decoder_state_elements(const TensorSource& source, int64_t rows, int64_t columns) {
  return decoder_elements(source, rows, columns).state;
}

}  // namespace latentcast
