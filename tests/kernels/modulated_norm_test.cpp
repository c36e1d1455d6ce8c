#include "latentcast/kernels/modulated_norm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace latentcast {
namespace {

constexpr double kEpsilon = 1e-6;

/// In double, a row at a time.
at::Tensor plain(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, int64_t copies) {
  const int64_t rows = copies * x.size(0), groups = shift.size(0);
  std::vector<at::Tensor> out;
  for (int64_t row = 0; row < rows; ++row) {
    const at::Tensor wide = x[row % x.size(0)].to(at::kDouble);
    const at::Tensor centred = wide - wide.mean();
    const int64_t group = row / (rows / groups);
    out.push_back(centred / (centred.square().mean() + kEpsilon).sqrt() * (1 + scale[group].to(at::kDouble)) +
                  shift[group].to(at::kDouble));
  }
  return at::stack(out);
}

TEST(ModulatedNorm, OneModulationForAllRows) {
  at::manual_seed(1);
  const at::Tensor x = at::randn({6, 64}) * 3 + 1, shift = at::randn({1, 64}), scale = at::randn({1, 64});
  EXPECT_LT((modulated_norm(x, shift, scale, kEpsilon).values - plain(x, shift, scale, 1))
                .abs()
                .max()
                .item<double>(),
            1e-5);
}

TEST(ModulatedNorm, GroupsOfRowsAndCopies) {
  at::manual_seed(2);
  const at::Tensor x = at::randn({6, 40}), both = at::randn({4, 80});
  const at::Tensor shift = both.narrow(1, 0, 40), scale = both.narrow(1, 40, 40);
  const at::Tensor y = modulated_norm(x, shift, scale, kEpsilon, /*copies=*/2).values;
  EXPECT_EQ(y.sizes(), at::IntArrayRef({12, 40}));
  EXPECT_LT((y - plain(x, shift, scale, 2)).abs().max().item<double>(), 1e-5);
}

TEST(ModulatedNorm, RoundsOnceToTheRowsType) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({3, 64}).to(at::kBFloat16), shift = at::randn({1, 64}),
                   scale = at::randn({1, 64});
  const at::Tensor y = modulated_norm(x, shift, scale, kEpsilon).values;
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(y.equal(modulated_norm(x.to(at::kFloat), shift, scale, kEpsilon).values.to(at::kBFloat16)));
}

TEST(ModulatedNorm, RefusesRowsThatGroupsDontDivide) {
  EXPECT_ANY_THROW(modulated_norm(at::ones({5, 8}), at::ones({2, 8}), at::ones({2, 8}), kEpsilon));
}

}  // namespace
}  // namespace latentcast
