#include "latentcast/model/dit/gpu_sizes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "latentcast/error.h"

namespace latentcast::test {
namespace {

TEST(GpuSizes, AreDeclinedByName) {
  DitConfig config;
  config.dim = 5120, config.ffn_dim = 13824, config.heads = 40;
  EXPECT_NO_THROW(check_gpu_sizes(config));
  const auto declined = [](const DitConfig& of, const std::string& what) {
    EXPECT_THAT([&] { check_gpu_sizes(of); }, testing::ThrowsMessage<InputError>(testing::HasSubstr(what)));
  };
  DitConfig odd = config;
  odd.dim = 5124;
  declined(odd, "dim is 5124");
  odd = config;
  odd.ffn_dim = 16384;
  declined(odd, "ffn_dim is 16384");
  odd = config;
  odd.dim = 120, odd.heads = 24;
  declined(odd, "heads are 5 wide");
}

}  // namespace
}  // namespace latentcast::test
