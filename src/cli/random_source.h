#pragma once

#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/tensor_source.h"

namespace latentcast {

/// Weights drawn at random on the device, for benchmarks: every name that is asked for exists in the shape
/// asked for, parts of tensors too. Names that a network looks for before it takes them are listed
/// beforehand.
class RandomSource : public RangeSource {
 public:
  explicit RandomSource(const at::TensorOptions& options) : options_(options) {}

  void list(const std::string& name, std::vector<int64_t> shape) { listed_[name] = std::move(shape); }

  bool has(const std::string& name) const override { return listed_.count(name) != 0; }
  std::vector<int64_t> shape(const std::string& name) const override;
  at::Tensor take(const std::string& name, at::IntArrayRef shape) override;
  std::vector<at::Tensor> take_together(const std::vector<std::string>& names,
                                        at::IntArrayRef shape) override;
  at::Tensor take_float(const std::string& name, at::IntArrayRef shape) override;
  void copy_range(const std::string& name, at::IntArrayRef shape, int64_t first,
                  const at::Tensor& to) override;

  at::ScalarType dtype() const override { return c10::typeMetaToScalarType(options_.dtype()); }
  at::Device device() const override { return options_.device(); }

  /// Of all that take() and take_float() gave.
  int64_t bytes_given() const { return bytes_given_; }

 private:
  at::Tensor given(at::Tensor tensor);

  at::TensorOptions options_;
  int64_t bytes_given_ = 0;
  std::map<std::string, std::vector<int64_t>> listed_;
};

/// Lists the names and shapes of an autoencoder's decoder in the public layout, `width` channels at full size
/// (96 in Wan2.1).
void list_vae_decoder(RandomSource& source, int64_t width);

}  // namespace latentcast
