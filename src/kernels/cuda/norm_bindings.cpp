// CUDA's kernels of the operations of src/kernels, registered with LibTorch when this library is loaded.
#include "check.h"
#include <ATen/ATen.h>
#include <torch/library.h>

namespace latentcast::cuda {
namespace {

using Given = std::tuple<at::Tensor, at::Tensor>;

/// Rows like x's, in x's type or in 8 bits with scales.
class Results {
 public:
  Results(const at::Tensor& x, int64_t rows, bool fp8)
      : values_(at::empty({rows, x.size(1)}, fp8 ? x.options().dtype(at::kFloat8_e4m3fn) : x.options())),
        scales_(fp8 ? at::empty({rows, 1}, x.options().dtype(at::kFloat)) : at::Tensor()) {}

  void* plain() const { return scales_.defined() ? nullptr : values_.mutable_data_ptr(); }
  Fp8Out fp8() const {
    return scales_.defined() ? Fp8Out{values_.mutable_data_ptr(), scales_.mutable_data_ptr<float>()}
                             : Fp8Out{};
  }
  Given given() const { return {values_, scales_}; }

 private:
  at::Tensor values_, scales_;
};

/// Shifts and scales [groups, dim] among which rows are divided.
void check_groups(int64_t rows, const at::Tensor& shift, const at::Tensor& scale, const char* name) {
  const int64_t groups = shift.size(0);
  TORCH_CHECK(groups > 0 && rows % groups == 0, name, ": ", rows, " rows can't be divided among ", groups,
              " groups");
  TORCH_CHECK(
      shift.sizes() == scale.sizes() && shift.strides() == scale.strides() && shift.stride(0) % 4 == 0, name,
      ": shift and scale differ in their layout");
}

Given modulated_norm_cuda(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double eps,
                          int64_t copies, bool fp8) {
  constexpr const char* kName = "modulated_norm";
  const int64_t rows = copies * x.size(0), groups = shift.size(0);
  check_groups(rows, shift, scale, kName);
  const Results results(x, rows, fp8);
  C10_CUDA_CHECK(modulated_norm(
      {is_bf16(x), x.size(0), rows, groups, x.size(1), rows_of(x, kName), floats_of(shift, kName),
       floats_of(scale, kName), shift.stride(0), static_cast<float>(eps), results.plain(), results.fp8()},
      current_stream()));
  return results.given();
}

void check_weight(const at::Tensor& weight, const at::Tensor& rows, const char* name) {
  TORCH_CHECK(weight.scalar_type() == rows.scalar_type() && weight.is_contiguous() &&
                  weight.numel() == rows.size(-1) &&
                  reinterpret_cast<uintptr_t>(weight.const_data_ptr()) % 16 == 0,
              name, ": weights and biases must be of the rows' type and length");
}

/// [rows, head_dim / 2] of complex64, as floats.
const float* rope_of(const at::Tensor& rope, int64_t rows, int64_t head_dim, const char* name) {
  TORCH_CHECK(rope.scalar_type() == at::kComplexFloat && rope.is_contiguous() && rope.size(0) == rows &&
                  rope.size(-1) == head_dim / 2,
              name, ": the table has ", rope.sizes(), " for ", rows, " rows of heads of ", head_dim);
  TORCH_CHECK(head_dim % 2 == 0, name, ": heads must be an even number wide, these are ", head_dim);
  return static_cast<const float*>(rope.const_data_ptr());
}

/// [rows, heads, head_dim], rows in one piece, as [rows, dim].
at::Tensor flat(const at::Tensor& x) { return x.view({x.size(0), x.size(1) * x.size(2)}); }

at::Tensor rms_norm_cuda(const at::Tensor& x, const at::Tensor& weight, double eps) {
  constexpr const char* kName = "rms_norm";
  const at::Tensor rows = x.dim() == 2 ? x : x.contiguous().view({-1, x.size(-1)});
  check_weight(weight, rows, kName);
  at::Tensor out = at::empty(x.sizes(), x.options());
  RotatedNorm args{};
  args.bf16 = is_bf16(x);
  args.rows = rows.size(0);
  args.dim = args.head_dim = rows.size(1);
  args.parts = 1;
  args.x[0] = rows_of(rows, kName);
  args.weight[0] = weight.const_data_ptr();
  args.eps = static_cast<float>(eps);
  args.out[0] = out.mutable_data_ptr();
  args.out_stride[0] = rows.size(1);
  C10_CUDA_CHECK(rotated_norm(args, current_stream()));
  return out;
}

/// Queries, keys and perhaps values, each from its place to its place.
void run_rotated_parts(const std::vector<at::Tensor>& from, const std::vector<at::Tensor>& to,
                       const at::Tensor& query_weight, const at::Tensor& key_weight, const at::Tensor& rope,
                       double eps, const char* name) {
  check_weight(query_weight, from[0], name);
  check_weight(key_weight, from[1], name);
  RotatedNorm args{};
  args.bf16 = is_bf16(from[0]);
  args.rows = from[0].size(0);
  args.dim = from[0].size(1);
  args.head_dim = to[0].size(2);
  args.parts = static_cast<int>(from.size());
  args.weight[0] = query_weight.const_data_ptr();
  args.weight[1] = key_weight.const_data_ptr();
  args.rope = rope_of(rope, args.rows, args.head_dim, name);
  args.eps = static_cast<float>(eps);
  for (size_t i = 0; i < from.size(); ++i) {
    const at::Tensor out = flat(to[i]);
    TORCH_CHECK(from[i].sizes() == from[0].sizes() && to[i].sizes() == to[0].sizes() &&
                    out.sizes() == from[0].sizes() && from[i].scalar_type() == from[0].scalar_type() &&
                    out.scalar_type() == from[0].scalar_type(),
                name, ": queries, keys, values or results differ in shape or type");
    args.x[i] = rows_of(from[i], name);
    args.out_stride[i] = rows_of(out, name).stride;
    args.out[i] = out.mutable_data_ptr();
  }
  C10_CUDA_CHECK(rotated_norm(args, current_stream()));
}

void rotate_query_key_cuda(const at::Tensor& query, const at::Tensor& key, const at::Tensor& query_weight,
                           const at::Tensor& key_weight, const at::Tensor& rope, double eps,
                           const at::Tensor& query_out, const at::Tensor& key_out) {
  run_rotated_parts({query, key}, {query_out, key_out}, query_weight, key_weight, rope, eps,
                    "rotate_query_key");
}

void split_query_key_value_cuda(const at::Tensor& product, const at::Tensor& query_weight,
                                const at::Tensor& key_weight, const at::Tensor& rope, double eps,
                                const at::Tensor& query_out, const at::Tensor& key_out,
                                const at::Tensor& value_out) {
  constexpr const char* kName = "split_query_key_value";
  TORCH_CHECK(product.dim() == 2 && product.size(1) % 3 == 0, kName, ": no three products side by side");
  const int64_t dim = product.size(1) / 3;
  const auto part = [&](int64_t i) { return product.narrow(1, i * dim, dim); };
  run_rotated_parts({part(0), part(1), part(2)}, {query_out, key_out, value_out}, query_weight, key_weight,
                    rope, eps, kName);
}

void rotate_rows_cuda(const at::Tensor& x, const at::Tensor& rope, const at::Tensor& out) {
  constexpr const char* kName = "rotate_rows";
  const at::Tensor from = flat(x), to = flat(out);
  TORCH_CHECK(x.sizes() == out.sizes() && x.scalar_type() == out.scalar_type(), kName,
              ": result of another shape or type than the rows");
  RotatedNorm args{};
  args.bf16 = is_bf16(x);
  args.rows = x.size(0);
  args.dim = from.size(1);
  args.head_dim = x.size(2);
  args.parts = 1;
  args.x[0] = rows_of(from, kName);
  args.rope = rope_of(rope, args.rows, args.head_dim, kName);
  args.out[0] = to.mutable_data_ptr();
  args.out_stride[0] = rows_of(to, kName).stride;
  C10_CUDA_CHECK(rotated_norm(args, current_stream()));
}

/// What all three forms of a residual sum have.
Residual residual_args(Residual::Kind kind, const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                       const char* name) {
  TORCH_CHECK(y.sizes() == x.sizes() && y.scalar_type() == x.scalar_type(), name,
              ": terms differ in shape or type");
  TORCH_CHECK(gate.numel() == x.size(1), name, ": a gate of another length than the rows");
  Residual args{};
  args.kind = kind;
  args.bf16 = is_bf16(x);
  args.rows = x.size(0);
  args.dim = x.size(1);
  args.x = rows_of(x, name);
  args.y = rows_of(y, name);
  args.gate = floats_of(gate, name);
  return args;
}

Rows term_of(const at::Tensor& term, const at::Tensor& x, const char* name) {
  TORCH_CHECK(term.sizes() == x.sizes() && term.scalar_type() == x.scalar_type(), name,
              ": terms differ in shape or type");
  return rows_of(term, name);
}

Given gated_residual_norm_cuda(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                               const at::Tensor& weight, const at::Tensor& bias, double eps, bool fp8) {
  constexpr const char* kName = "gated_residual_norm";
  check_weight(weight, x, kName);
  check_weight(bias, x, kName);
  const Results results(x, x.size(0), fp8);
  Residual args = residual_args(Residual::kAffineNorm, x, y, gate, kName);
  args.weight = weight.const_data_ptr();
  args.bias = bias.const_data_ptr();
  args.out = results.plain();
  args.fp8 = results.fp8();
  args.eps = static_cast<float>(eps);
  C10_CUDA_CHECK(residual(args, current_stream()));
  return results.given();
}

Given residual_modulated_norm_cuda(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                                   const at::Tensor& c, const at::Tensor& shift, const at::Tensor& scale,
                                   double eps, bool fp8) {
  constexpr const char* kName = "residual_modulated_norm";
  const Results results(x, x.size(0), fp8);
  Residual args = residual_args(Residual::kModulatedNorm, x, y, gate, kName);
  args.c = term_of(c, x, kName);
  args.shift = floats_of(shift, kName);
  args.scale = floats_of(scale, kName);
  args.out = results.plain();
  args.fp8 = results.fp8();
  args.eps = static_cast<float>(eps);
  C10_CUDA_CHECK(residual(args, current_stream()));
  return results.given();
}

at::Tensor gated_residuals_cuda(const at::Tensor& x, const at::Tensor& y, const at::Tensor& gate,
                                const at::Tensor& c, const at::Tensor& f, const at::Tensor& last_gate) {
  constexpr const char* kName = "gated_residuals";
  at::Tensor out = at::empty(x.sizes(), x.options());
  Residual args = residual_args(Residual::kSum, x, y, gate, kName);
  args.out = out.mutable_data_ptr();
  args.c = term_of(c, x, kName);
  args.f = term_of(f, x, kName);
  args.last_gate = floats_of(last_gate, kName);
  C10_CUDA_CHECK(residual(args, current_stream()));
  return out;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> residual_sum_norm_cuda(
    const at::Tensor& x, const std::optional<at::Tensor>& y, const std::optional<at::Tensor>& gate,
    const at::Tensor& c, const std::optional<at::Tensor>& f, const std::optional<at::Tensor>& last_gate,
    const at::Tensor& shift, const at::Tensor& scale, double eps, bool fp8) {
  constexpr const char* kName = "residual_sum_norm";
  check_groups(x.size(0), shift, scale, kName);
  const at::Tensor sum = at::empty(x.sizes(), x.options());
  const Results results(x, x.size(0), fp8);
  Residual args{};
  if (y) {
    args = residual_args(Residual::kSumNorm, x, *y, *gate, kName);
    args.f = term_of(*f, x, kName);
    args.last_gate = floats_of(*last_gate, kName);
  } else {
    args.kind = Residual::kSumNorm;
    args.bf16 = is_bf16(x);
    args.rows = x.size(0);
    args.dim = x.size(1);
    args.x = rows_of(x, kName);
  }
  args.c = term_of(c, x, kName);
  args.shift = floats_of(shift, kName);
  args.scale = floats_of(scale, kName);
  args.groups = shift.size(0);
  args.modulation_stride = shift.stride(0);
  args.eps = static_cast<float>(eps);
  args.sum = sum.mutable_data_ptr();
  args.out = results.plain();
  args.fp8 = results.fp8();
  C10_CUDA_CHECK(residual(args, current_stream()));
  const auto [values, scales] = results.given();
  return {sum, values, scales};
}

Given quantize_cuda(const at::Tensor& x, bool gelu) {
  const Results results(x, x.size(0), /*fp8=*/true);
  C10_CUDA_CHECK(quantize({is_bf16(x), gelu, x.size(0), x.size(1), rows_of(x, "quantize"), results.fp8()},
                          current_stream()));
  return results.given();
}

}  // namespace

TORCH_LIBRARY_IMPL(latentcast, CUDA, library) {
  library.impl("modulated_norm", &modulated_norm_cuda);
  library.impl("rms_norm", &rms_norm_cuda);
  library.impl("rotate_query_key", &rotate_query_key_cuda);
  library.impl("split_query_key_value", &split_query_key_value_cuda);
  library.impl("rotate_rows", &rotate_rows_cuda);
  library.impl("gated_residual_norm", &gated_residual_norm_cuda);
  library.impl("residual_modulated_norm", &residual_modulated_norm_cuda);
  library.impl("gated_residuals", &gated_residuals_cuda);
  library.impl("residual_sum_norm", &residual_sum_norm_cuda);
  library.impl("quantize", &quantize_cuda);
}

}  // namespace latentcast::cuda
