#include "latentcast/kernels/packed_attention.h"

#include <cmath>
#include <limits>

#include "attention_inputs.h"
#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace latentcast {
namespace {

using test::AttentionInput;

at::Tensor attended(const AttentionInput& input) {
  return packed_attention(input.query, test::packed(input)).view(input.query.sizes());
}

double error_of(const AttentionInput& input) { return test::relative(attended(input), test::exact(input)); }

TEST(PackedAttention, IsNearTheExactOneOnRandomNumbers) {
  const double error = error_of(test::attention_input("plain", 70, {33, 160, 400}, 3, 128));
  EXPECT_LT(error, 0.05);
  EXPECT_GT(error, 1e-3) << "8 bits must be seen";
}

TEST(PackedAttention, TakesHeadsOfAnyWidthAndPiecesOfAnySize) {
  for (const int64_t dim : {12, 16, 64, 128}) {
    EXPECT_LT(error_of(test::attention_input("plain", 9, {1, 7, 161}, 2, dim)), 0.06) << dim;
  }
}

TEST(PackedAttention, IsNearTheExactOneOnHardInputs) {
  for (const auto& [kind, allowed] : test::hard_attention_inputs()) {
    const AttentionInput input = test::attention_input(kind, 50, {200, 170, 90}, 2, 128);
    EXPECT_LT(error_of(input), allowed) << kind;
  }
}

TEST(PackedAttention, KeepsZerosAndEqualKeys) {
  const AttentionInput zeros = test::attention_input("zeros", 5, {20, 170}, 2, 128);
  EXPECT_TRUE((attended(zeros) == 0).all().item<bool>());
  // All weights are equal, so no error is theirs: what is off are the values.
  EXPECT_LT(error_of(test::attention_input("equal keys", 5, {20, 170}, 2, 128)), 0.04);
}

TEST(PackedAttention, GivesOneTokensValueBack) {
  const AttentionInput one = test::attention_input("plain", 5, {1}, 2, 128);
  EXPECT_LT(error_of(one), 1e-6);
}

TEST(PackedAttention, LetsNaNThrough) {
  AttentionInput input = test::attention_input("plain", 6, {20, 170}, 3, 128);
  const auto nan = std::numeric_limits<float>::quiet_NaN();
  input.keys[0][7][1][5] = nan;
  input.values[1][3][2][9] = nan;
  input.query[4][0][3] = nan;
  at::Tensor wanted = at::zeros(input.query.sizes(), at::kBool);
  wanted.select(1, 1).fill_(true);
  wanted.select(1, 2).select(1, 9).fill_(true);
  wanted[4][0].fill_(true);
  EXPECT_TRUE(attended(input).isnan().equal(wanted));
}

TEST(PackedAttention, APieceIsPackedWithoutTheOthers) {
  const AttentionInput input = test::attention_input("plain", 6, {20, 170}, 2, 128);
  const PackedPieces both = test::packed(input);
  AttentionInput second = input;
  second.keys.erase(second.keys.begin());
  second.values.erase(second.values.begin());
  EXPECT_TRUE(test::packed(second).packed[0].equal(both.packed[1]));
}

TEST(PackedAttention, KeysAndValuesArePackedByThemselves) {
  const AttentionInput input = test::attention_input("plain", 6, {170}, 2, 128);
  const at::Tensor together = test::packed(input).packed[0], apart = at::full_like(together, 7);
  pack_keys_and_values(input.keys[0], {}, apart);
  pack_keys_and_values({}, input.values[0], apart);
  // But for 12 bytes behind a tile's scale, which nobody reads.
  EXPECT_LE((together != apart).sum().item<int64_t>(), 2 * 2 * 12);
  PackedPieces pieces = test::packed(input);
  pieces.packed[0] = apart;
  EXPECT_TRUE(
      packed_attention(input.query, pieces).equal(packed_attention(input.query, test::packed(input))));
}

TEST(PackedAttention, ResultHasTheQuerysType) {
  AttentionInput input = test::attention_input("plain", 6, {20}, 2, 128);
  const at::Tensor wide = attended(input);
  input.query = input.query.to(at::kBFloat16);
  EXPECT_EQ(attended(input).scalar_type(), at::kBFloat16);
  EXPECT_LT(test::relative(attended(input), wide), 0.02);
}

TEST(PackedAttention, ACpuRefusesNothing) { EXPECT_EQ(packed_attention_refusal(at::empty({0, 12})), ""); }

}  // namespace
}  // namespace latentcast
