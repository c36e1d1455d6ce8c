#include "parity.h"

#include <limits>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/device/device.h"

namespace latentcast::test {
namespace {

/// LibTorch looks for CUDA's half once, when random numbers are first asked for, and not again.
class LoadedBeforeAllTests : public testing::Environment {
  void SetUp() override { gpu(); }
};
const testing::Environment* const kLoaded = testing::AddGlobalTestEnvironment(new LoadedBeforeAllTests);

}  // namespace

namespace {

/// CUDA's half of LibTorch must be there before anything asks for it: even a seed does.
class SelectsGpu : public testing::Environment {
 public:
  void SetUp() override { gpu(); }
};

const testing::Environment* const kSelected = testing::AddGlobalTestEnvironment(new SelectsGpu);

}  // namespace

at::Device gpu() {
  static const at::Device device = select_device("cuda", "bf16", 2).device;
  return device;
}

std::vector<std::pair<std::string, at::Tensor>> row_inputs(int64_t rows, int64_t dim) {
  at::manual_seed(7);
  const at::Tensor plain = at::randn({rows, dim});
  std::vector<std::pair<std::string, at::Tensor>> inputs = {
      {"plain", plain},       {"shifted", plain * 0.5 + 5}, {"zeros", at::zeros({rows, dim})},
      {"huge", plain * 1e15}, {"denormal", plain * 1e-39},  {"equal", at::full({rows, dim}, 3.0)}};
  const auto with = [&](const std::string& name, double value) {
    at::Tensor x = plain.clone();
    x[rows / 2][dim - 1] = value;
    inputs.emplace_back(name, x);
  };
  with("one huge", 1e17);
  with("infinity", std::numeric_limits<double>::infinity());
  with("NaN", std::numeric_limits<double>::quiet_NaN());
  return inputs;
}

at::Tensor as_bf16(const at::Tensor& x) { return x.to(at::kBFloat16).to(at::kFloat); }

void expect_close(const at::Tensor& ours, const at::Tensor& twin, const std::string& what, double slack) {
  const at::Tensor given = ours.to(at::kCPU).to(at::kDouble), wanted = twin.to(at::kDouble);
  ASSERT_EQ(given.sizes(), wanted.sizes()) << what;
  EXPECT_TRUE(given.isnan().equal(wanted.isnan())) << what << ": NaN elsewhere than in the twin";
  const at::Tensor infinite = wanted.isinf();
  EXPECT_TRUE(given.masked_select(infinite).equal(wanted.masked_select(infinite))) << what << ": infinities";
  const at::Tensor finite = wanted.isfinite();
  const at::Tensor size = at::where(finite, wanted.abs(), 0.0);
  // One unit in the last place is at most 2⁻⁷ (bf16) or 2⁻²³ (float32) of a number, or that of denormals.
  const bool bf16 = ours.scalar_type() == at::kBFloat16;
  const double unit = bf16 ? 0x1p-7 : 0x1p-23, least = bf16 ? 0x1p-133 : 0x1p-149;
  const at::Tensor allowed = size * unit + size.amax({-1}, /*keepdim=*/true) * slack + least;
  const at::Tensor excess = at::where(finite, (given - wanted).abs() - allowed, 0.0);
  EXPECT_LE(excess.max().item<double>(), 0)
      << what << ": off by more than a unit, the largest number is " << size.max().item<double>();
}

}  // namespace latentcast::test
