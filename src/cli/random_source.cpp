#include "random_source.h"

#include <cmath>

#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr int64_t kLatent = 16;

void list_conv(RandomSource& source, const std::string& name, int64_t out, int64_t in,
               std::vector<int64_t> kernel) {
  std::vector<int64_t> shape = {out, in};
  shape.insert(shape.end(), kernel.begin(), kernel.end());
  source.list(name + ".weight", shape);
  source.list(name + ".bias", {out});
}

void list_residual(RandomSource& source, const std::string& name, int64_t in, int64_t out) {
  source.list(name + ".residual.0.gamma", {in, 1, 1, 1});
  list_conv(source, name + ".residual.2", out, in, {3, 3, 3});
  source.list(name + ".residual.3.gamma", {out, 1, 1, 1});
  list_conv(source, name + ".residual.6", out, out, {3, 3, 3});
  if (in != out) {
    list_conv(source, name + ".shortcut", out, in, {1, 1, 1});
  }
}

/// Values of a tensor of this name and shape, or of a part of it.
void fill(const std::string& name, at::IntArrayRef shape, at::Tensor to) {
  if (name.find("norm") != std::string::npos || name.find("gamma") != std::string::npos) {
    to.fill_(1);
    return;
  }
  int64_t fan_in = 1;
  for (size_t i = 1; i < shape.size(); ++i) {
    fan_in *= shape[i];
  }
  to.normal_(0, 0.9 / std::sqrt(static_cast<double>(fan_in)));
}

}  // namespace

std::vector<int64_t> RandomSource::shape(const std::string& name) const {
  const auto found = listed_.find(name);
  if (found == listed_.end()) {
    throw InternalError("random weights: the shape of " + name + " is not listed");
  }
  return found->second;
}

at::Tensor RandomSource::take(const std::string& name, at::IntArrayRef shape) {
  at::Tensor tensor = at::empty(shape, options_);
  fill(name, shape, tensor);
  return given(std::move(tensor));
}

std::vector<at::Tensor> RandomSource::take_together(const std::vector<std::string>& names,
                                                    at::IntArrayRef shape) {
  if (!options_.device().is_cuda()) return TensorSource::take_together(names, shape);
  std::vector<int64_t> all = shape.vec();
  all.insert(all.begin(), static_cast<int64_t>(names.size()));
  const at::Tensor together = given(at::empty(all, options_));
  for (size_t i = 0; i < names.size(); ++i) fill(names[i], shape, together[static_cast<int64_t>(i)]);
  return together.unbind(0);
}

at::Tensor RandomSource::take_float(const std::string& name, at::IntArrayRef shape) {
  at::Tensor tensor = at::empty(shape, options_.dtype(at::kFloat));
  fill(name, shape, tensor);
  return given(std::move(tensor));
}

void RandomSource::copy_range(const std::string& name, at::IntArrayRef shape, int64_t, const at::Tensor& to) {
  fill(name, shape, to);
}

at::Tensor RandomSource::given(at::Tensor tensor) {
  bytes_given_ += static_cast<int64_t>(tensor.nbytes());
  return tensor;
}

void list_vae_decoder(RandomSource& source, int64_t width) {
  const int64_t top = 4 * width;
  list_conv(source, "conv2", kLatent, kLatent, {1, 1, 1});
  list_conv(source, "decoder.conv1", top, kLatent, {3, 3, 3});
  list_residual(source, "decoder.middle.0", top, top);
  source.list("decoder.middle.1.norm.gamma", {top, 1, 1});
  list_conv(source, "decoder.middle.1.to_qkv", 3 * top, top, {1, 1});
  list_conv(source, "decoder.middle.1.proj", top, top, {1, 1});
  list_residual(source, "decoder.middle.2", top, top);
  const int64_t widths[] = {4 * width, 4 * width, 2 * width, width};
  int index = 0;
  for (int level = 0; level < 4; ++level) {
    int64_t in = level == 0 ? top : widths[level - 1] / 2;
    for (int block = 0; block < 3; ++block, ++index) {
      list_residual(source, "decoder.upsamples." + std::to_string(index), in, widths[level]);
      in = widths[level];
    }
    if (level < 3) {
      const std::string name = "decoder.upsamples." + std::to_string(index++);
      list_conv(source, name + ".resample.1", in / 2, in, {3, 3});
      if (level < 2) {
        list_conv(source, name + ".time_conv", 2 * in, in, {3, 1, 1});
      }
    }
  }
  source.list("decoder.head.0.gamma", {width, 1, 1, 1});
  list_conv(source, "decoder.head.2", 3, width, {3, 3, 3});
}

}  // namespace latentcast
