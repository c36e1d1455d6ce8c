#include "latentcast/model/vae/decoder.h"

namespace latentcast {
namespace {

/// Adds up what causal convolutions keep, along the way of VaeDecoder::run().
class StateSize {
 public:
  StateSize(const TensorSource& source, int64_t rows, int64_t columns)
      : source_(source), pixels_(rows * columns) {}

  /// The last frames of its input: one less than its kernel is long.
  void convolution(const std::string& name) {
    const std::vector<int64_t> shape = source_.shape(name + ".weight");
    elements_ += shape.at(1) * (shape.at(2) - 1) * pixels_;
  }
  void residual_block(const std::string& name) {
    convolution(name + ".residual.2");
    convolution(name + ".residual.6");
  }
  void upsample(const std::string& name) {
    if (source_.has(name + ".time_conv.weight")) {
      convolution(name + ".time_conv");
    }
    pixels_ *= 4;
  }
  int64_t elements() const { return elements_; }

 private:
  const TensorSource& source_;
  int64_t pixels_, elements_ = 0;
};

}  // namespace

int64_t decoder_state_elements(const TensorSource& source, int64_t rows, int64_t columns) {
  StateSize size(source, rows, columns);
  size.convolution("decoder.conv1");
  size.residual_block("decoder.middle.0");
  size.residual_block("decoder.middle.2");
  for (int i = 0;; ++i) {
    const std::string name = "decoder.upsamples." + std::to_string(i);
    if (source.has(name + ".residual.2.weight")) {
      size.residual_block(name);
    } else if (source.has(name + ".resample.1.weight")) {
      size.upsample(name);
    } else {
      size.convolution("decoder.head.2");
      return size.elements();
    }
  }
}

}  // namespace latentcast
