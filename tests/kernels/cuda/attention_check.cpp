// Attention in 8 bits on a GPU, against its CPU twin and against the exact one.
#include "../attention_inputs.h"
#include "parity.h"
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/model/layers.h"

namespace latentcast::test {
namespace {

constexpr int64_t kDim = 128;

AttentionInput on_gpu(const AttentionInput& input) {
  const auto there = [](const at::Tensor& x) { return x.to(at::kBFloat16).to(gpu()); };
  AttentionInput moved{there(input.query), {}, {}};
  for (const at::Tensor& key : input.keys) moved.keys.push_back(there(key));
  for (const at::Tensor& value : input.values) moved.values.push_back(there(value));
  return moved;
}

at::Tensor run(const AttentionInput& input) {
  return packed_attention(input.query, packed(input)).view(input.query.sizes());
}

struct Shape {
  int64_t queries;
  std::vector<int64_t> tokens;
};

class PackedAttention : public testing::TestWithParam<Shape> {};

TEST_P(PackedAttention, PackedBytesAreTheTwins) {
  for (const std::string kind : {"plain", "outlier channels", "zeros"}) {
    const AttentionInput input = attention_input(kind, GetParam().queries, GetParam().tokens, 3, kDim);
    const PackedPieces wanted = packed(input), given = packed(on_gpu(input));
    for (size_t i = 0; i < wanted.packed.size(); ++i) {
      const at::Tensor bytes = given.packed[i].cpu();
      ASSERT_EQ(bytes.numel(), wanted.packed[i].numel());
      // Means are sums in another order: their last bits may differ, and bring a few numbers to the other
      // side of a rounding.
      EXPECT_LE((bytes != wanted.packed[i]).sum().item<int64_t>(), bytes.numel() / 100 + 64) << kind;
    }
  }
}

TEST_P(PackedAttention, AgreesWithItsTwin) {
  const AttentionInput input = attention_input("plain", GetParam().queries, GetParam().tokens, 3, kDim);
  const at::Tensor given = run(on_gpu(input)).cpu(), twin = run(input);
  // What roundings to the other side and the tensor cores' sums, of some 14 bits, may do: less than 8 bits
  // do.
  EXPECT_LT(relative(given, twin), 0.01);
  const double error = relative(given, exact(input)), of_twin = relative(twin, exact(input));
  EXPECT_LT(error, of_twin * 1.1 + 0.003);
}

TEST_P(PackedAttention, GivesEqualBitsTwice) {
  const AttentionInput input =
      on_gpu(attention_input("plain", GetParam().queries, GetParam().tokens, 3, kDim));
  EXPECT_TRUE(run(input).equal(run(input)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, PackedAttention,
                         testing::Values(Shape{70, {160}}, Shape{1, {1}}, Shape{200, {33, 161}},
                                         Shape{64, {500, 160, 7}}, Shape{129, {1056, 1584, 3168}},
                                         Shape{3, std::vector<int64_t>(16, 20)}));

TEST(PackedAttentionOnHardInputs, IsNearTheExactOne) {
  for (const auto& [kind, allowed] : hard_attention_inputs()) {
    const AttentionInput input = attention_input(kind, 150, {200, 170, 90}, 2, kDim);
    const AttentionInput there = on_gpu(input);
    const at::Tensor given = run(there).cpu(), wanted = exact(input);
    const at::Tensor bf16 = attention(there.query.unsqueeze(0), at::cat(there.keys).unsqueeze(0),
                                      at::cat(there.values).unsqueeze(0))
                                .view(input.query.sizes());
    std::printf("%-18s off the exact one: %.4f, the twin %.4f, bf16 %.4f\n", kind.c_str(),
                relative(given, wanted), relative(run(input), wanted), relative(bf16.cpu(), wanted));
    EXPECT_LT(relative(given, wanted), allowed) << kind;
    EXPECT_LT(relative(given, run(input)), 0.01) << kind;
  }
  const at::Tensor zeros = run(on_gpu(attention_input("zeros", 150, {200, 170}, 2, kDim)));
  EXPECT_TRUE((zeros == 0).all().item<bool>());
  const AttentionInput equal = attention_input("equal keys", 150, {200, 170}, 2, kDim);
  EXPECT_LT(relative(run(on_gpu(equal)).cpu(), run(equal)), 0.005);
}

TEST(PackedAttentionOnHardInputs, LetsNaNThrough) {
  AttentionInput input = attention_input("plain", 200, {20, 400}, 3, kDim);
  const auto nan = std::numeric_limits<float>::quiet_NaN();
  input.keys[0][7][1][5] = nan;
  input.values[1][333][2][9] = nan;
  input.query[150][0][3] = nan;
  EXPECT_TRUE(run(on_gpu(input)).isnan().cpu().equal(run(input).isnan()));
}

TEST(PackedAttentionOnHardInputs, RefusesWhatItIsNotFor) {
  const at::TensorOptions bf16 = at::TensorOptions().dtype(at::kBFloat16).device(gpu());
  EXPECT_EQ(packed_attention_refusal(at::empty({0, 128}, bf16)), "");
  EXPECT_NE(packed_attention_refusal(at::empty({0, 64}, bf16)), "");
  EXPECT_NE(packed_attention_refusal(at::empty({0, 128}, bf16.dtype(at::kFloat))), "");
  EXPECT_ANY_THROW(pack_keys_and_values(at::zeros({5, 2, 64}, bf16), {},
                                        at::zeros({packed_bytes(5, 2, 64)}, bf16.dtype(at::kByte))));
}

}  // namespace
}  // namespace latentcast::test
