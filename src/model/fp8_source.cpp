#include "latentcast/model/fp8_source.h"

#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast {

namespace {

/// Tensors of one shape one behind the other, as joined() wants them, each at a full line of memory.
std::vector<at::Tensor> in_a_row(size_t count, at::IntArrayRef shape, const at::TensorOptions& options) {
  constexpr int64_t kLine = 256;
  const int64_t numbers = c10::multiply_integers(shape),
                per_line = kLine / static_cast<int64_t>(options.dtype().itemsize());
  const int64_t room = (numbers + per_line - 1) / per_line * per_line;
  const at::Tensor all = at::empty({static_cast<int64_t>(count), room}, options);
  std::vector<at::Tensor> tensors;
  for (const at::Tensor& one : all.unbind(0)) tensors.push_back(one.narrow(0, 0, numbers).view(shape));
  return tensors;
}

}  // namespace

std::vector<Rows> Fp8Source::take_product_weights(const std::vector<std::string>& names,
                                                  at::IntArrayRef shape) {
  const auto options = at::TensorOptions().device(device());
  const std::vector<at::Tensor> values = in_a_row(names.size(), shape, options.dtype(at::kFloat8_e4m3fn));
  const std::vector<at::Tensor> scales = in_a_row(names.size(), {shape[0], 1}, options.dtype(at::kFloat));
  std::vector<Rows> weights;
  for (size_t i = 0; i < names.size(); ++i) {
    const Rows rows = quantize(source_.take(names[i], shape));
    values[i].copy_(rows.values);
    scales[i].copy_(rows.scale);
    weights.emplace_back(values[i], scales[i]);
  }
  return weights;
}

Rows Fp8Source::quantized(const std::string& name, at::IntArrayRef shape, int64_t begin, int64_t end) {
  const at::Tensor rows =
      at::empty({end - begin, shape[1]}, at::TensorOptions().dtype(dtype()).device(device()));
  source_.copy_range(name, shape, begin * shape[1], rows.flatten());
  return quantize(rows);
}

void Fp8Source::copy_range(const std::string& name, at::IntArrayRef shape, int64_t first,
                           const at::Tensor& to) {
  if (to.scalar_type() != at::kFloat8_e4m3fn) {
    source_.copy_range(name, shape, first, to);
    return;
  }
  const int64_t width = shape[1], begin = first / width, end = (first + to.numel() + width - 1) / width;
  const Rows rows = quantized(name, shape, begin, end);
  to.copy_(rows.values.flatten().narrow(0, first - begin * width, to.numel()));
  scales_[name] = {begin, rows.scale.flatten()};
}

void Fp8Source::copy_scales(const std::string& name, at::IntArrayRef weight_shape, int64_t first,
                            const at::Tensor& to) {
  const int64_t last = first + to.numel();
  const auto known = scales_.find(name);
  if (known != scales_.end()) {
    const auto& [begin, scales] = known->second;
    if (begin <= first && last <= begin + scales.numel()) {
      to.copy_(scales.narrow(0, first - begin, to.numel()));
      scales_.erase(known);
      return;
    }
  }
  to.copy_(quantized(name, weight_shape, first, last).scale.flatten());
}

}  // namespace latentcast
