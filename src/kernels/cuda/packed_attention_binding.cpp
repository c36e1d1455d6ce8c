#include "check.h"
#include "packed_attention.h"
#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

namespace latentcast::cuda {
namespace {

using Optional = std::optional<at::Tensor>;

bool aligned(const at::Tensor& x) { return reinterpret_cast<uintptr_t>(x.const_data_ptr()) % 16 == 0; }

void check_rows(const at::Tensor& x, const char* name) {
  TORCH_CHECK(is_bf16(x) && x.dim() == 3 && x.size(2) == kHeadDim && x.stride(2) == 1 &&
                  x.stride(1) == kHeadDim && x.stride(0) % 8 == 0 && aligned(x) && x.size(0) > 0,
              name, ": takes bf16 [tokens, heads, ", kHeadDim, "], a token's heads in one piece, not ",
              x.scalar_type(), " ", x.sizes(), " ", x.strides());
}

void check_packed(const at::Tensor& packed, int64_t tokens, int64_t heads, const char* name) {
  TORCH_CHECK(packed.scalar_type() == at::kByte && packed.is_contiguous() && aligned(packed) && tokens > 0 &&
                  packed.numel() == kPacked.bytes(tokens, heads),
              name, ": ", packed.numel(), " bytes are no ", tokens, " tokens of ", heads, " heads");
}

void pack_cuda(const Optional& key, const Optional& value, const at::Tensor& packed) {
  constexpr const char* kName = "pack_keys_and_values";
  const c10::cuda::CUDAGuard guard(packed.device());
  TORCH_CHECK(key || value, kName, ": nothing to pack");
  const at::Tensor& any = key ? *key : *value;
  for (const Optional& one : {key, value}) {
    if (one) check_rows(*one, kName);
    TORCH_CHECK(!one || one->sizes() == any.sizes(), kName, ": keys and values of different shape");
  }
  const int64_t tokens = any.size(0), heads = any.size(1);
  check_packed(packed, tokens, heads, kName);
  const at::Tensor sums = at::empty({pack_sums(tokens, heads)}, packed.options().dtype(at::kFloat));
  C10_CUDA_CHECK(
      pack({tokens, heads, key ? key->const_data_ptr() : nullptr, value ? value->const_data_ptr() : nullptr,
            key ? key->stride(0) : 0, value ? value->stride(0) : 0, packed.mutable_data_ptr<uint8_t>(),
            sums.mutable_data_ptr<float>()},
           current_stream()));
}

at::Tensor attention_cuda(const at::Tensor& query, at::TensorList packed, at::IntArrayRef tokens) {
  constexpr const char* kName = "packed_attention";
  const c10::cuda::CUDAGuard guard(query.device());
  check_rows(query, kName);
  TORCH_CHECK(query.is_contiguous() && packed.size() == tokens.size() && !packed.empty() &&
                  packed.size() <= kMostPieces,
              kName, ": takes 1 to ", kMostPieces, " pieces, not ", packed.size());
  PackedAttention args{};
  args.queries = query.size(0), args.heads = query.size(1);
  const at::Tensor out = at::empty({args.queries, args.heads * kHeadDim}, query.options());
  args.query = query.const_data_ptr();
  args.out = out.mutable_data_ptr();
  args.pieces = static_cast<int>(packed.size());
  for (size_t i = 0; i < packed.size(); ++i) {
    check_packed(packed[i], tokens[i], args.heads, kName);
    args.packed[i] = packed[i].const_data_ptr<uint8_t>();
    args.tokens[i] = tokens[i];
  }
  C10_CUDA_CHECK(packed_attention(args, current_stream()));
  return out;
}

std::string refusal_cuda(const at::Tensor& like) {
  int major = 0, minor = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, like.device().index()));
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, like.device().index()));
  if (major != 9 || minor != 0) {
    return "it needs a Hopper GPU (compute capability 9.0), this one has " + std::to_string(major) + "." +
           std::to_string(minor);
  }
  if (!is_bf16(like)) return "it needs bf16 on a GPU";
  if (like.size(-1) != kHeadDim) {
    return "the GPU's kernel takes heads 128 wide, these are " + std::to_string(like.size(-1));
  }
  return {};
}

}  // namespace

TORCH_LIBRARY_IMPL(latentcast, CUDA, library) {
  library.impl("pack_keys_and_values", &pack_cuda);
  library.impl("packed_attention", &attention_cuda);
  library.impl("packed_attention_refusal", &refusal_cuda);
}

}  // namespace latentcast::cuda
