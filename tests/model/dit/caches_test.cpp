#include "latentcast/model/dit/caches.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/kernels/rotated_norm.h"
#include "latentcast/model/dit/rope.h"

namespace latentcast {
namespace {

constexpr int64_t kReference = 6, kMotion = 4, kHeads = 2, kWidth = 8;

at::Tensor rows(int64_t count) { return at::randn({count, kHeads, kWidth}); }

class AttentionCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(1);
    for (int64_t layer = 0; layer < 2; ++layer) {
      made_.push_back({rows(kReference + kMotion), rows(kReference + kMotion), rows(kReference + kMotion)});
      cache_.set_condition(layer, made_.back());
    }
  }

  AttentionCache cache_{{3, 2, kReference, kMotion, 4, 3, kHeads, kWidth}, at::TensorOptions()};
  std::vector<ConditionKeys> made_;
};

TEST_F(AttentionCacheTest, ConditionComesFirstThenWhatIsFilled) {
  const at::Tensor key = rows(4), value = rows(4);
  const KeyValue own = cache_.window(1, 0, 4, 4);
  own.key.copy_(key);
  own.value.copy_(value);
  const KeyValue all = cache_.attended(1, 0, 8);
  EXPECT_EQ(all.key.size(0), kReference + kMotion + 8);
  EXPECT_TRUE(all.key.is_contiguous());
  EXPECT_TRUE(all.key.narrow(0, 0, kReference + kMotion).equal(made_[0].rotated));
  EXPECT_TRUE(all.value.narrow(0, 0, kReference + kMotion).equal(made_[0].value));
  EXPECT_TRUE(all.key.narrow(0, kReference + kMotion + 4, 4).equal(key));
  EXPECT_TRUE(all.value.narrow(0, kReference + kMotion + 4, 4).equal(value));
  EXPECT_TRUE((cache_.window(0, 0, 4, 4).key == 0).all().item<bool>()) << "another timestep's";
  EXPECT_TRUE((cache_.window(1, 1, 4, 4).key == 0).all().item<bool>()) << "another layer's";
}

TEST_F(AttentionCacheTest, ReferenceIsTurnedFromWhatWasNotRotated) {
  for (const int64_t frame : {40, 31}) {
    const at::Tensor rope = grid_rope(frame, 1, 2, 3, kWidth),
                     wanted = at::empty({kReference, kHeads, kWidth});
    cache_.turn_reference(2, 1, rope);
    rotate_rows(made_[1].key.narrow(0, 0, kReference), rope, wanted);
    const at::Tensor keys = cache_.attended(2, 1, 4).key;
    EXPECT_TRUE(keys.narrow(0, 0, kReference).equal(wanted)) << frame;
    EXPECT_TRUE(keys.narrow(0, kReference, kMotion).equal(made_[1].rotated.narrow(0, kReference, kMotion)))
        << "the motion's stand still";
  }
}

}  // namespace
}  // namespace latentcast
