// CUDA's kernels of the autoencoder's operations, registered with LibTorch when this library is loaded.
#include <tuple>

#include "causal_conv.h"
#include "pictures.h"
#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

namespace latentcast::cuda {
namespace {

using Optional = std::optional<at::Tensor>;

constexpr auto kLast = at::MemoryFormat::ChannelsLast3d;

const void* pixels_of(const at::Tensor& x, at::IntArrayRef sizes, const char* what) {
  TORCH_CHECK(x.scalar_type() == at::kBFloat16 && x.sizes() == sizes && x.is_contiguous(kLast) &&
                  reinterpret_cast<uintptr_t>(x.const_data_ptr()) % 16 == 0,
              "causal_conv: ", what, " must be bf16 ", sizes, " with the channels last, not ",
              x.scalar_type(), " ", x.sizes(), " ", x.strides());
  return x.const_data_ptr();
}

const float* floats_of(const at::Tensor& x, int64_t count, const char* what) {
  TORCH_CHECK(x.scalar_type() == at::kFloat && x.is_contiguous() && x.numel() == count, "causal_conv: ", what,
              " must be ", count, " float32");
  return x.const_data_ptr<float>();
}

/// Hopper's products and copies are in no other GPU.
int64_t conv_columns_cuda(const at::Tensor& like, int64_t kind, int64_t in, int64_t out) {
  int major = 0, minor = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, like.device().index()));
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, like.device().index()));
  if (major != 9 || minor != 0 || like.scalar_type() != at::kBFloat16) return 0;
  return conv_columns(static_cast<ConvKind>(kind), in, out);
}

std::vector<int64_t> result_sizes(const CausalConv& conv) {
  const bool times = conv.kind == ConvKind::kTimeDoubling, pictures = conv.kind == ConvKind::kPictureDoubling;
  const int64_t side = pictures ? 2 : 1;
  return {1, times ? conv.out / 2 : conv.out, times ? 2 * conv.frames : conv.frames, side * conv.height,
          side * conv.width};
}

/// `over`: the sum's memory, if it has one.
std::tuple<at::Tensor, at::Tensor> run_conv(const at::Tensor& x, const Optional& past,
                                            const at::Tensor& weight, const at::Tensor& bias,
                                            const Optional& residual, const Optional& gain, int64_t kind,
                                            bool keep_sum, const Optional& over) {
  const c10::cuda::CUDAGuard guard(x.device());
  TORCH_CHECK(
      x.dim() == 5 && weight.dim() == 8 && weight.is_contiguous() && weight.scalar_type() == at::kBFloat16,
      "causal_conv: takes a packed weight in bf16");
  CausalConv conv{};
  conv.kind = static_cast<ConvKind>(kind);
  conv.in = x.size(1), conv.out = bias.size(0);
  conv.frames = x.size(2), conv.height = x.size(3), conv.width = x.size(4);
  const int64_t columns = conv_columns(conv.kind, conv.in, conv.out);
  TORCH_CHECK(columns > 0 && columns == weight.size(6) && weight.size(2) * 32 == conv.in,
              "causal_conv: no kernel for ", conv.in, " to ", conv.out, " channels");
  const bool looks_back = conv.kind == ConvKind::kSpaceTime || conv.kind == ConvKind::kTimeDoubling;
  TORCH_CHECK(looks_back == past.has_value(), "causal_conv: a past where none is seen, or none");
  conv.x = pixels_of(x, x.sizes(), "x");
  if (past) conv.past = pixels_of(*past, {1, conv.in, 2, conv.height, conv.width}, "past");
  conv.weight = weight.const_data_ptr();
  conv.bias = floats_of(bias, conv.out, "bias");
  const std::vector<int64_t> sizes = result_sizes(conv);
  TORCH_CHECK(columns >= 32 || (!residual && !gain && keep_sum),
              "causal_conv: only the sum of so few channels");
  if (residual) conv.residual = pixels_of(*residual, sizes, "residual");
  TORCH_CHECK(!gain || columns == conv.out, "causal_conv: no norm over ", conv.out, " channels");
  if (gain) conv.gain = floats_of(*gain, conv.out, "gain");
  const auto room = [&](bool wanted) {
    return wanted ? at::empty(sizes, x.options().memory_format(kLast)) : at::Tensor();
  };
  at::Tensor sum = over ? *over : room(keep_sum), active = room(gain.has_value());
  conv.sum = keep_sum ? sum.mutable_data_ptr() : nullptr;
  conv.active = gain ? active.mutable_data_ptr() : nullptr;
  C10_CUDA_CHECK(causal_conv(conv, c10::cuda::getCurrentCUDAStream()));
  return {std::move(sum), std::move(active)};
}

std::tuple<at::Tensor, at::Tensor> causal_conv_cuda(const at::Tensor& x, const Optional& past,
                                                    const at::Tensor& weight, const at::Tensor& bias,
                                                    const Optional& residual, const Optional& gain,
                                                    int64_t kind, bool keep_sum) {
  return run_conv(x, past, weight, bias, residual, gain, kind, keep_sum, {});
}

/// A thread reads of the residual what it then overwrites, and no more.
at::Tensor causal_conv_over_cuda(const at::Tensor& x, const Optional& past, const at::Tensor& weight,
                                 const at::Tensor& bias, at::Tensor residual, const Optional& gain,
                                 int64_t kind) {
  return std::get<1>(run_conv(x, past, weight, bias, residual, gain, kind, /*keep_sum=*/true, residual));
}

void channel_norm_cuda(const at::Tensor& x, const at::Tensor& gain, at::Tensor out, bool silu) {
  const c10::cuda::CUDAGuard guard(x.device());
  TORCH_CHECK(x.is_contiguous(kLast) && out.is_contiguous(kLast) && x.sizes() == out.sizes() &&
                  x.size(0) == 1 && x.scalar_type() == out.scalar_type() && gain.is_contiguous() &&
                  gain.numel() == x.size(1) && gain.scalar_type() == x.scalar_type() &&
                  (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kFloat),
              "channel_norm: takes one picture's frames, channels last, bf16 or float32");
  C10_CUDA_CHECK(channel_norm({x.scalar_type() == at::kBFloat16, silu, x.numel() / x.size(1), x.size(1),
                               x.const_data_ptr(), gain.const_data_ptr(), out.mutable_data_ptr()},
                              c10::cuda::getCurrentCUDAStream()));
}

at::Tensor to_yuv420p_cuda(const at::Tensor& frames) {
  const c10::cuda::CUDAGuard guard(frames.device());
  TORCH_CHECK(frames.dim() == 4 && frames.size(0) == 3 && frames.size(2) % 2 == 0 &&
                  frames.size(3) % 2 == 0 && frames.scalar_type() == at::kFloat,
              "to_yuv420p: takes [3, n, H, W] float32, H and W even, not ", frames.sizes());
  const int64_t count = frames.size(1), height = frames.size(2), width = frames.size(3);
  const at::Tensor out = at::empty({count, height * width * 3 / 2}, frames.options().dtype(at::kByte));
  C10_CUDA_CHECK(yuv420p({frames.const_data_ptr<float>(),
                          {frames.stride(0), frames.stride(1), frames.stride(2), frames.stride(3)},
                          count,
                          height,
                          width,
                          out.mutable_data_ptr<uint8_t>()},
                         c10::cuda::getCurrentCUDAStream()));
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(latentcast, CUDA, library) {
  library.impl("conv_columns", &conv_columns_cuda);
  library.impl("causal_conv", &causal_conv_cuda);
  library.impl("causal_conv_over", &causal_conv_over_cuda);
  library.impl("channel_norm", &channel_norm_cuda);
  library.impl("to_yuv420p", &to_yuv420p_cuda);
}

}  // namespace latentcast::cuda
