#include "check.h"
#include "dequantize.h"
#include <ATen/ATen.h>
#include <torch/library.h>

namespace latentcast::cuda {
namespace {

void dequantize_cuda(const at::Tensor& values, const at::Tensor& scale, const at::Tensor& out) {
  constexpr const char* kName = "dequantize";
  TORCH_CHECK(values.scalar_type() == at::kFloat8_e4m3fn && values.dim() == 2 && values.is_contiguous() &&
                  out.is_contiguous() && out.sizes() == values.sizes() && values.size(1) % 16 == 0 &&
                  scale.numel() == values.size(0) && scale.scalar_type() == at::kFloat &&
                  scale.is_contiguous(),
              kName,
              ": rows of 8 bits, scales or result of another type, shape or layout; rows must be a "
              "multiple of 16 long");
  TORCH_CHECK(reinterpret_cast<uintptr_t>(values.const_data_ptr()) % 16 == 0 &&
                  reinterpret_cast<uintptr_t>(out.const_data_ptr()) % 16 == 0,
              kName, ": not aligned to 16 bytes");
  C10_CUDA_CHECK(dequantize({is_bf16(out), values.size(0), values.size(1), values.const_data_ptr(),
                             scale.const_data_ptr<float>(), out.mutable_data_ptr()},
                            current_stream()));
}

}  // namespace

TORCH_LIBRARY_IMPL(latentcast, CUDA, library) { library.impl("dequantize", &dequantize_cuda); }

}  // namespace latentcast::cuda
