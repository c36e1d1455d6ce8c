#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/error.h"
#include "latentcast/kernels/quantize.h"

namespace latentcast {

/// Where a network takes its weights from. Declared here because the networks need it; implemented by
/// weights/ (files) and by benchmarks and tests (random numbers).
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  virtual bool has(const std::string& name) const = 0;

  /// Shape of a tensor as stored. Throws InputError naming file and tensor if it is missing.
  virtual std::vector<int64_t> shape(const std::string& name) const = 0;

  /// The tensor, contiguous, on the source's device and in its dtype. Throws InputError naming file and
  /// tensor if it is missing, or if its shape differs from `shape`.
  virtual at::Tensor take(const std::string& name, at::IntArrayRef shape) = 0;

  /// Several tensors of one shape, as take() gives each; on a GPU one behind the other in one piece of
  /// memory, so that products with them can be done as one.
  virtual std::vector<at::Tensor> take_together(const std::vector<std::string>& names,
                                                at::IntArrayRef shape) {
    std::vector<at::Tensor> tensors;
    for (const std::string& name : names) tensors.push_back(take(name, shape));
    return tensors;
  }

  /// Weights of products [out, in], which a source may give in 8 bits (Fp8Source): as take_together() else.
  virtual std::vector<Rows> take_product_weights(const std::vector<std::string>& names,
                                                 at::IntArrayRef shape) {
    std::vector<Rows> weights;
    for (at::Tensor& weight : take_together(names, shape)) weights.emplace_back(std::move(weight));
    return weights;
  }

  /// As take(), but in float32 whatever the source's dtype: for the few weights whose network computes in
  /// float32.
  virtual at::Tensor take_float(const std::string& name, at::IntArrayRef shape) = 0;
};

/// A source that also gives parts of tensors, for weights that are divided over ranks.
class RangeSource : public TensorSource {
 public:
  /// Writes elements [first, first + to.numel()) of the tensor, counted row by row, to `to` (1-D, contiguous,
  /// on the source's device): bit for bit what take() would give them in its type. Throws InputError as
  /// take() does.
  virtual void copy_range(const std::string& name, at::IntArrayRef shape, int64_t first,
                          const at::Tensor& to) = 0;

  /// As copy_range(), of the scales [out, 1] float32 of a product's weight [out, in] in 8 bits.
  virtual void copy_scales(const std::string& name, at::IntArrayRef /*weight_shape*/, int64_t /*first*/,
                           const at::Tensor& /*to*/) {
    throw InternalError("the scales of '" + name + "' were asked of a source that has no 8-bit weights");
  }

  /// Whether take_product_weights() gives 8 bits; copy_range() then does so too where `to` is of that type.
  virtual bool gives_fp8() const { return false; }
  virtual at::ScalarType dtype() const = 0;
  virtual at::Device device() const = 0;
};

}  // namespace latentcast
