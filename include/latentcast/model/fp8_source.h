#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "latentcast/model/tensor_source.h"

namespace latentcast {

/// Brings the weights of products to 8 bits, a scale for each row, as they are taken from another source
/// (which has merged its LoRA by then); all else is given as the other gives it. The other must live as long
/// as this.
class Fp8Source : public RangeSource {
 public:
  explicit Fp8Source(RangeSource& source) : source_(source) {}

  bool has(const std::string& name) const override { return source_.has(name); }
  std::vector<int64_t> shape(const std::string& name) const override { return source_.shape(name); }
  at::Tensor take(const std::string& name, at::IntArrayRef shape) override {
    return source_.take(name, shape);
  }
  at::Tensor take_float(const std::string& name, at::IntArrayRef shape) override {
    return source_.take_float(name, shape);
  }
  std::vector<at::Tensor> take_together(const std::vector<std::string>& names,
                                        at::IntArrayRef shape) override {
    return source_.take_together(names, shape);
  }
  std::vector<Rows> take_product_weights(const std::vector<std::string>& names,
                                         at::IntArrayRef shape) override;

  /// Reads whole rows of the weight for what has 8 bits.
  void copy_range(const std::string& name, at::IntArrayRef shape, int64_t first,
                  const at::Tensor& to) override;
  void copy_scales(const std::string& name, at::IntArrayRef weight_shape, int64_t first,
                   const at::Tensor& to) override;

  bool gives_fp8() const override { return true; }
  at::ScalarType dtype() const override { return source_.dtype(); }
  at::Device device() const override { return source_.device(); }

 private:
  Rows quantized(const std::string& name, at::IntArrayRef shape, int64_t begin, int64_t end);

  RangeSource& source_;
  /// Scales of rows that copy_range() has read, and the first of these rows: mostly the ones wanted next.
  std::map<std::string, std::pair<int64_t, at::Tensor>> scales_;
};

}  // namespace latentcast
