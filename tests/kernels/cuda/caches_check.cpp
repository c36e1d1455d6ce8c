// Attention caches that are brought from host memory by streams beside the computing, against those in place.
#include <algorithm>

#include "parity.h"
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "latentcast/model/dit/caches.h"
#include "latentcast/model/dit/rope.h"

namespace latentcast::test {
namespace {

// Large enough that a copy takes longer than the host needs to ask for the next.
const AttentionCacheShape kShape{2, 7, 96, 64, 192, 3, 8, 64};

at::TensorOptions bf16() { return at::TensorOptions().dtype(at::kBFloat16).device(gpu()); }

at::Tensor pinned(int64_t bytes) {
  return at::empty({bytes}, at::TensorOptions().dtype(at::kByte).pinned_memory(true));
}

at::Tensor rows(int64_t count) { return at::randn({count, kShape.heads, kShape.head_dim}, bf16()); }

class Caches : public testing::TestWithParam<CacheMeans> {};

/// `differences` counts numbers that differ, on the device.
void run_pass(AttentionCache& wanted, AttentionCache& given, const CachePass& pass, const CachePass& next,
              const at::Tensor& rope, bool exact, const at::Tensor& differences) {
  wanted.begin_pass(pass);
  given.begin_pass(pass);
  given.expect(next);
  at::Tensor busy = at::randn({1024, 1024}, bf16());
  for (int64_t layer = 0; layer < kShape.layers; ++layer) {
    const at::Tensor key = rows(kShape.block_tokens), value = rows(kShape.block_tokens);
    const PassKeys in_place = wanted.acquire(layer, rope), brought = given.acquire(layer, rope);
    for (const PassKeys* keys : {&in_place, &brought}) {
      keys->own.key.copy_(key);
      keys->own.value.copy_(value);
    }
    busy = at::matmul(busy, busy).clamp_(-1, 1);
    const auto compare = [&](const at::Tensor& a, const at::Tensor& b) {
      // 8 bits: a sixteenth of a number, or little against its row's largest, which is some 5 here.
      const at::Tensor off = (a.to(at::kFloat) - b.to(at::kFloat)).abs();
      differences.add_(exact ? (a != b).sum() : (off > a.to(at::kFloat).abs() / 15 + 0.02).sum());
    };
    compare(in_place.attended.key, brought.attended.key);
    compare(in_place.attended.value, brought.attended.value);
    wanted.release(layer);
    given.release(layer);
  }
}

TEST_P(Caches, AttentionReadsTheSameAsInPlace) {
  const c10::InferenceMode inference;
  at::manual_seed(7);
  AttentionCache wanted(kShape, bf16()), given(kShape, bf16(), GetParam(), pinned);
  const at::Tensor differences = at::zeros({}, bf16().dtype(at::kLong));
  int64_t passes = 0;
  for (int64_t clip = 0; clip < 6; ++clip) {
    for (int64_t layer = 0; clip < 2 && layer < kShape.layers; ++layer) {
      const ConditionKeys made{rows(160), rows(160), rows(160)};
      wanted.set_condition(layer, made);
      given.set_condition(layer, made);
    }
    for (int64_t block = 0; block < kShape.blocks; ++block) {
      for (int64_t t = 0; t < kShape.timesteps; ++t, ++passes) {
        const auto pass = [&](int64_t number, int64_t timestep) {
          return CachePass{timestep, number % kShape.blocks,
                           clip > 0 ? kShape.blocks : std::min(kShape.blocks, number + 1)};
        };
        const CachePass next = t + 1 < kShape.timesteps ? pass(block, t + 1) : pass(block + 1, 0);
        const at::Tensor rope = grid_rope(30 + passes, 1, 8, 12, kShape.head_dim, gpu());
        run_pass(wanted, given, pass(block, t), next, rope, !GetParam().fp8, differences);
      }
    }
  }
  EXPECT_EQ(differences.item<int64_t>(), 0);
}

INSTANTIATE_TEST_SUITE_P(Means, Caches,
                         testing::Values(CacheMeans{true, 0, false, false}, CacheMeans{true, 2, false, true},
                                         CacheMeans{false, 0, true, false}, CacheMeans{true, 0, true, true},
                                         CacheMeans{true, 0, false, true, 2},
                                         CacheMeans{true, 0, true, false, 1}));

}  // namespace
}  // namespace latentcast::test
