#include "latentcast/model/dit/speaker_mask.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace latentcast {
namespace {

at::Tensor box(int64_t top, int64_t left, int64_t bottom, int64_t right) {
  at::Tensor mask = at::zeros({40, 80}, at::kByte);
  mask.narrow(0, top, bottom - top).narrow(1, left, right - left).fill_(1);
  return mask;
}

TEST(SpeakerRegions, ASpeakersSoundActsWhereNoOtherIs) {
  const at::Tensor regions = speaker_regions({box(8, 0, 32, 24), box(8, 56, 32, 80)}, 3, 10, 20);
  ASSERT_EQ(regions.sizes(), at::IntArrayRef({2, 3, 10, 20}));
  EXPECT_EQ(regions[0][0][5][2].item<float>(), 1);  // inside the first
  EXPECT_EQ(regions[1][0][5][2].item<float>(), 0);
  EXPECT_EQ(regions[0][0][5][18].item<float>(), 0);  // inside the second
  EXPECT_EQ(regions[1][0][5][18].item<float>(), 1);
  EXPECT_EQ(regions[0][0][0][10].item<float>(), 1);  // nobody's place: both
  EXPECT_EQ(regions[1][0][0][10].item<float>(), 1);
}

TEST(SpeakerRegions, MasksGrowByATenthOfTheirBox) {
  // 6 tokens wide and high: grown by max(1, ceil(0.6)) = 1.
  const at::Tensor regions = speaker_regions({box(0, 0, 24, 24), box(0, 56, 24, 80)}, 1, 10, 20);
  EXPECT_EQ(regions[1][0][0][6].item<float>(), 0);
  EXPECT_EQ(regions[1][0][0][7].item<float>(), 1);
}

TEST(SpeakerRegions, TheLaterSpeakerHasWhereTwoMeet) {
  const at::Tensor regions = speaker_regions({box(0, 0, 40, 80), box(0, 40, 40, 80)}, 1, 10, 20);
  EXPECT_EQ(regions[0][0][5][15].item<float>(), 0);
  EXPECT_EQ(regions[1][0][5][15].item<float>(), 1);
  EXPECT_EQ(regions[1][0][5][3].item<float>(), 0);
}

}  // namespace
}  // namespace latentcast
