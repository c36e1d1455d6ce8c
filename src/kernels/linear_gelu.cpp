#include "latentcast/kernels/linear_gelu.h"

#include <ATen/ATen.h>

namespace latentcast {

at::Tensor linear_gelu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (x.is_cuda()) {
    return at::_addmm_activation(bias, x, weight.t(), /*beta=*/1, /*alpha=*/1, /*use_gelu=*/true);
  }
  return at::gelu(at::linear(x, weight, bias), "tanh");
}

}  // namespace latentcast
