#include "latentcast/kernels/conv3d.h"

#include <array>

#include <ATen/ATen.h>
#include <ATen/Context.h>

namespace latentcast {

at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    at::IntArrayRef stride, int64_t side_padding) {
  const std::array<int64_t, 3> padding = {0, side_padding, side_padding};
  if (x.is_cpu() && x.scalar_type() == at::kFloat && at::globalContext().hasMKLDNN()) {
    return at::mkldnn_convolution(x, weight, bias, padding, stride, /*dilation=*/{1, 1, 1}, /*groups=*/1);
  }
  return at::conv3d(x, weight, bias, stride, padding);
}

}  // namespace latentcast
