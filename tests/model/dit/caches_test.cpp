#include "latentcast/model/dit/caches.h"

#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "latentcast/error.h"
#include "latentcast/kernels/dequantize.h"
#include "latentcast/kernels/rotated_norm.h"
#include "latentcast/model/dit/rope.h"
#include "latentcast/model/layers.h"

namespace latentcast {
namespace {

constexpr int64_t kReference = 6, kMotion = 4, kBlock = 4, kBlocks = 3, kHeads = 2, kWidth = 8;
constexpr int64_t kTimesteps = 3, kLayers = 5;
constexpr int64_t kCondition = kReference + kMotion;

const AttentionCacheShape kShape{kTimesteps, kLayers, kReference, kMotion, kBlock, kBlocks, kHeads, kWidth};

at::Tensor rows(int64_t count) { return at::randn({count, kHeads, kWidth}); }

/// Counts what is taken.
struct CountedMemory {
  int64_t bytes = 0, pieces = 0;
  HostMemory memory() {
    return [this](int64_t wanted) {
      bytes += wanted;
      ++pieces;
      // What nobody has written is never read.
      return at::full({wanted}, 0xff, at::kByte);
    };
  }
};

std::vector<ConditionKeys> random_condition() {
  std::vector<ConditionKeys> made;
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    made.push_back({rows(kCondition), rows(kCondition), rows(kCondition)});
  }
  return made;
}

void set(AttentionCache& cache, const std::vector<ConditionKeys>& made) {
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    cache.set_condition(layer, made[static_cast<size_t>(layer)]);
  }
}

/// What a layer's pass attended to.
struct Seen {
  at::Tensor key, value;
  bool operator==(const Seen& other) const { return key.equal(other.key) && value.equal(other.value); }
};

/// A pass whose own rows are `made`: what each layer attends to once they are there.
std::vector<Seen> run(AttentionCache& cache, const CachePass& pass, const std::vector<KeyValue>& made,
                      const at::Tensor& rope) {
  std::vector<Seen> seen;
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const PassKeys keys = cache.acquire(layer, rope);
    keys.own.key.copy_(made[static_cast<size_t>(layer)].key);
    keys.own.value.copy_(made[static_cast<size_t>(layer)].value);
    EXPECT_EQ(keys.attended.key.size(0), kCondition + pass.filled * kBlock);
    EXPECT_TRUE(keys.attended.key.is_contiguous() && keys.attended.value.is_contiguous());
    seen.push_back({keys.attended.key.clone(), keys.attended.value.clone()});
    cache.release(layer);
  }
  return seen;
}

std::vector<KeyValue> random_rows() {
  std::vector<KeyValue> made;
  for (int64_t layer = 0; layer < kLayers; ++layer) made.push_back({rows(kBlock), rows(kBlock)});
  return made;
}

/// The passes of some clips, one after the other, on several caches at once.
class CacheTest : public testing::Test {
 protected:
  void SetUp() override { at::manual_seed(1); }

  AttentionCache cache(const CacheMeans& means) {
    AttentionCache made(kShape, at::TensorOptions(), means, memory_.memory());
    return made;
  }

  static CachePass pass(int64_t clip, int64_t block, int64_t timestep) {
    return {timestep, block, clip > 0 ? kBlocks : block + 1};
  }

  CountedMemory memory_;
};

const std::vector<CacheMeans> kMeans = {
    {true, 0, false, false}, {true, 0, false, true},  {true, 2, false, false},   {true, 2, false, true},
    {true, 4, false, true},  {true, 5, false, false}, {true, 0, false, true, 2}, {true, 2, false, false, 1},
};

TEST_F(CacheTest, ConditionComesFirstThenWhatIsFilled) {
  const std::vector<ConditionKeys> made = random_condition();
  AttentionCache cache = this->cache({});
  set(cache, made);
  const at::Tensor rope = grid_rope(40, 1, 2, 3, kWidth);
  const std::vector<KeyValue> first = random_rows(), second = random_rows();
  cache.begin_pass({1, 0, 1});
  run(cache, {1, 0, 1}, first, rope);
  cache.begin_pass({1, 1, 2});
  const Seen seen = run(cache, {1, 1, 2}, second, rope)[3];
  at::Tensor turned = at::empty({kReference, kHeads, kWidth});
  rotate_rows(made[3].key.narrow(0, 0, kReference), rope, turned);
  EXPECT_TRUE(seen.key.equal(
      at::cat({turned, made[3].rotated.narrow(0, kReference, kMotion), first[3].key, second[3].key})));
  EXPECT_TRUE(seen.value.equal(at::cat({made[3].value, first[3].value, second[3].value})));
  cache.begin_pass({0, 0, 1});
  EXPECT_TRUE(run(cache, {0, 0, 1}, second, rope)[3].key.narrow(0, kCondition, kBlock).equal(second[3].key))
      << "another timestep's";
}

/// Three clips of all timesteps and blocks, the condition made anew at the second; what is said of the next
/// pass is right, wrong or nothing.
TEST_F(CacheTest, WhereverTheyAreKeptAttentionReadsTheSame) {
  std::vector<AttentionCache> caches;
  caches.push_back(cache({}));
  for (const CacheMeans& means : kMeans) caches.push_back(cache(means));
  int64_t passes = 0;
  for (int64_t clip = 0; clip < 3; ++clip) {
    if (clip < 2) {
      const std::vector<ConditionKeys> made = random_condition();
      for (AttentionCache& cache : caches) set(cache, made);
    }
    for (int64_t block = 0; block < kBlocks; ++block) {
      for (int64_t t = 0; t < kTimesteps; ++t, ++passes) {
        const CachePass now = pass(clip, block, t);
        const bool last = t + 1 == kTimesteps;
        const CachePass next =
            last ? pass(clip + (block + 1) / kBlocks, (block + 1) % kBlocks, 0) : pass(clip, block, t + 1);
        const CachePass wrong = pass(clip, (block + 1) % kBlocks, t);
        const std::vector<KeyValue> made = random_rows();
        const at::Tensor rope = grid_rope(30 + passes, 1, 2, 3, kWidth);
        std::vector<Seen> wanted;
        for (AttentionCache& cache : caches) {
          cache.begin_pass(now);
          if (passes % 4 < 3) cache.expect(passes % 4 == 2 ? wrong : next);
          const std::vector<Seen> seen = run(cache, now, made, rope);
          if (wanted.empty()) wanted = seen;
          EXPECT_TRUE(seen == wanted) << "pass " << passes << ", cache " << &cache - caches.data();
        }
      }
    }
  }
}

/// By layers two blocks take turns, and the next pass reads what this one makes.
TEST_F(CacheTest, TheNextBlockOfTheSameTimestepSeesTheLast) {
  AttentionCache in_place = cache({}), brought = cache({true, 0, false, false});
  const at::Tensor rope = grid_rope(30, 1, 2, 3, kWidth);
  for (int64_t clip = 0; clip < 2; ++clip) {
    for (int64_t block = 0; block < kBlocks; ++block) {
      const CachePass now = pass(clip, block, 1),
                      next = pass(clip + (block + 1) / kBlocks, (block + 1) % kBlocks, 1);
      const std::vector<KeyValue> made = random_rows();
      in_place.begin_pass(now);
      brought.begin_pass(now);
      brought.expect(next);
      EXPECT_TRUE(run(in_place, now, made, rope) == run(brought, now, made, rope)) << clip << " " << block;
    }
  }
}

at::Tensor through_fp8(const at::Tensor& x) {
  at::Tensor out = at::empty({kBlock, kHeads * kWidth});
  dequantize(quantize(x.view({kBlock, kHeads * kWidth})), out);
  return out.view(x.sizes());
}

TEST_F(CacheTest, InEightBitsEarlierBlocksAreRounded) {
  std::vector<AttentionCache> caches;
  for (const CacheMeans& means : {CacheMeans{false, 0, true, false}, CacheMeans{true, 0, true, true},
                                  CacheMeans{true, 3, true, false}}) {
    caches.push_back(cache(means));
  }
  const std::vector<ConditionKeys> condition = random_condition();
  for (AttentionCache& cache : caches) set(cache, condition);
  const at::Tensor rope = grid_rope(30, 1, 2, 3, kWidth);
  const std::vector<KeyValue> first = random_rows(), second = random_rows();
  for (AttentionCache& cache : caches) {
    cache.begin_pass({2, 0, 1});
    const Seen alone = run(cache, {2, 0, 1}, first, rope)[1];
    EXPECT_TRUE(alone.key.narrow(0, kCondition, kBlock).equal(first[1].key)) << "its own are exact";
    cache.begin_pass({2, 1, 2});
    const Seen seen = run(cache, {2, 1, 2}, second, rope)[1];
    EXPECT_TRUE(seen.key.narrow(0, kCondition, kBlock).equal(through_fp8(first[1].key)));
    EXPECT_TRUE(seen.value.narrow(0, kCondition, kBlock).equal(through_fp8(first[1].value)));
    EXPECT_TRUE(seen.value.narrow(0, kCondition + kBlock, kBlock).equal(second[1].value));
    EXPECT_TRUE(seen.value.narrow(0, 0, kCondition).equal(condition[1].value)) << "the condition's are exact";
  }
  EXPECT_FALSE(through_fp8(first[1].key).equal(first[1].key));
}

/// A checkpoint's copy of `from` brought to `to`.
void carry(const AttentionCache& from, const AttentionCache& to) {
  const std::vector<CachedRows> kept = from.rows(1, kBlocks), places = to.rows(1, kBlocks);
  ASSERT_EQ(kept.size(), places.size());
  for (size_t i = 0; i < kept.size(); ++i) {
    ASSERT_TRUE(kept[i].timestep == places[i].timestep && kept[i].layer == places[i].layer &&
                kept[i].what == places[i].what);
    const at::Tensor all = at::cat(kept[i].parts), target = at::cat(places[i].parts);
    ASSERT_EQ(all.sizes(), target.sizes());
    for (size_t part = 0; part < places[i].parts.size(); ++part) {
      const int64_t count = places[i].parts[part].size(0);
      places[i].parts[part].copy_(all.narrow(0, static_cast<int64_t>(part) * count, count));
    }
  }
}

TEST_F(CacheTest, WhatIsKeptMayGoOnKeptElsewhere) {
  const std::vector<ConditionKeys> condition = random_condition();
  const at::Tensor rope = grid_rope(30, 1, 2, 3, kWidth);
  for (const bool fp8 : {false, true}) {
    AttentionCache first = cache({false, 0, fp8, false});
    set(first, condition);
    for (int64_t block = 0; block < kBlocks; ++block) {
      for (int64_t t = 0; t < kTimesteps; ++t) {
        first.begin_pass(pass(0, block, t));
        run(first, pass(0, block, t), random_rows(), rope);
      }
    }
    std::vector<AttentionCache> others;
    for (CacheMeans means : kMeans) {
      means.fp8 = fp8;
      others.push_back(cache(means));
      set(others.back(), condition);
      carry(first, others.back());
    }
    const std::vector<KeyValue> made = random_rows();
    first.begin_pass(pass(1, 0, 2));
    const std::vector<Seen> wanted = run(first, pass(1, 0, 2), made, rope);
    for (AttentionCache& other : others) {
      other.begin_pass(pass(1, 0, 2));
      EXPECT_TRUE(run(other, pass(1, 0, 2), made, rope) == wanted);
    }
  }
}

TEST_F(CacheTest, NobodyWritesToWhatACheckpointHolds) {
  AttentionCache cache = this->cache({true, 0, false, false});
  const at::Tensor rope = grid_rope(30, 1, 2, 3, kWidth);
  for (int64_t block = 0; block < kBlocks; ++block) {
    cache.begin_pass(pass(0, block, 0));
    run(cache, pass(0, block, 0), random_rows(), rope);
  }
  const int64_t pieces = memory_.pieces;
  {
    const std::vector<CachedRows> held = cache.rows(1, kBlocks);
    std::vector<at::Tensor> before;
    for (const CachedRows& rows : held) {
      EXPECT_TRUE(rows.lasting);
      before.push_back(at::cat(rows.parts).view(at::kInt));
    }
    for (int64_t block = 0; block < kBlocks; ++block) {
      cache.begin_pass(pass(1, block, 0));
      run(cache, pass(1, block, 0), random_rows(), rope);
    }
    for (size_t i = 0; i < held.size(); ++i)
      EXPECT_TRUE(at::cat(held[i].parts).view(at::kInt).equal(before[i])) << i;
    EXPECT_EQ(memory_.pieces, pieces + 2 * kLayers * (kBlocks - 1)) << "the first block's weren't held";
  }
  for (int64_t block = 0; block < kBlocks; ++block) {
    cache.begin_pass(pass(2, block, 0));
    run(cache, pass(2, block, 0), random_rows(), rope);
  }
  EXPECT_EQ(memory_.pieces, pieces + 2 * kLayers * (kBlocks - 1)) << "nothing is held any more";
}

TEST_F(CacheTest, TakesAsMuchHostMemoryAsIsSaid) {
  for (CacheMeans means : kMeans) {
    for (const bool fp8 : {false, true}) {
      means.fp8 = fp8;
      CountedMemory counted;
      const AttentionCache cache(kShape, at::TensorOptions(), means, counted.memory());
      EXPECT_EQ(counted.bytes, cache_bytes(kShape, means, 4).host);
      int64_t bytes = 0, pieces = 0;
      for (const HostPieceNeed& need : host_pieces(kShape, means, 4)) {
        bytes += need.bytes * need.count;
        pieces += need.count;
      }
      EXPECT_EQ(counted.bytes, bytes);
      EXPECT_EQ(counted.pieces, pieces);
    }
  }
}

TEST(CacheMeans, LayersOnTheDeviceLieEvenly) {
  const CacheMeans means{true, 10, false, false};
  int64_t kept = 0, since = 0;
  for (int64_t layer = 0; layer < 40; ++layer) {
    since = window_on_device(means, layer, 40) ? 0 : since + 1;
    kept += since == 0 ? 1 : 0;
    EXPECT_LE(since, 3);
  }
  EXPECT_EQ(kept, 10);
}

/// DESIGN's figures: one timestep's window is 10.4 GB, the condition 2.2 GB.
TEST(CacheMeans, SizesAreThoseOfTheModel) {
  const AttentionCacheShape shape{1, 40, 1056, 1584, 3168, 4, 40, 128};
  const int64_t window = 2 * 12672 * 5120 * int64_t{2} * 40, condition = 2 * 2640 * 5120 * int64_t{2} * 40;
  const int64_t reference = 1056 * 5120 * int64_t{2} * 40, ring = 3 * (window + condition) / 40;
  EXPECT_EQ(cache_bytes(shape, {}, 2), (CacheBytes{window + condition + reference, 0}));
  EXPECT_EQ(cache_bytes(shape, {true, 0, false, false}, 2), (CacheBytes{condition + ring, window}));
  EXPECT_EQ(cache_bytes(shape, {true, 0, false, true}, 2), (CacheBytes{ring, window + condition}));
  EXPECT_EQ(cache_bytes(shape, {true, 0, true, false}, 2).host, window / 2);
}

/// Attention over what the caches give, of one pass's layers.
std::vector<at::Tensor> attend(AttentionCache& cache, const CachePass& pass,
                               const std::vector<KeyValue>& made, const at::Tensor& rope,
                               const at::Tensor& query) {
  std::vector<at::Tensor> results;
  cache.begin_pass(pass);
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const PassKeys keys = cache.acquire(layer, rope);
    keys.own.key.copy_(made[static_cast<size_t>(layer)].key);
    keys.own.value.copy_(made[static_cast<size_t>(layer)].value);
    if (keys.packed) {
      pack_keys_and_values(keys.own.key, keys.own.value, keys.packed->own);
      results.push_back(packed_attention(query, keys.packed->attended));
    } else {
      results.push_back(
          attention(query.unsqueeze(0), keys.attended.key.unsqueeze(0), keys.attended.value.unsqueeze(0))
              .squeeze(0));
    }
    cache.release(layer);
  }
  return results;
}

TEST_F(CacheTest, PackedTheyGiveAttentionTheSameButForEightBits) {
  AttentionCache in_place = cache({}), packed = cache({.packed = true});
  // A second one goes on from what a checkpoint of the first holds.
  AttentionCache continued = cache({.packed = true});
  const std::vector<ConditionKeys> condition = random_condition();
  for (AttentionCache* each : {&in_place, &packed, &continued}) set(*each, condition);
  for (int64_t clip = 0; clip < 2; ++clip) {
    for (int64_t block = 0; block < kBlocks; ++block) {
      for (int64_t t = 0; t < kTimesteps; ++t) {
        const at::Tensor rope = grid_rope(30 + block, 1, 2, 3, kWidth), query = rows(kBlock);
        const std::vector<KeyValue> made = random_rows();
        const std::vector<at::Tensor> wanted = attend(in_place, pass(clip, block, t), made, rope, query),
                                      given = attend(packed, pass(clip, block, t), made, rope, query);
        for (size_t layer = 0; layer < wanted.size(); ++layer) {
          const double error = ((given[layer] - wanted[layer]).norm() / wanted[layer].norm()).item<double>();
          EXPECT_LT(error, 0.08) << clip << " " << block << " " << t << " " << layer;
        }
        if (clip == 0) continue;
        if (block == 0 && t == 0) carry(packed, continued);
        const std::vector<at::Tensor> again = attend(continued, pass(clip, block, t), made, rope, query);
        for (size_t layer = 0; layer < given.size(); ++layer) {
          EXPECT_TRUE(again[layer].equal(given[layer])) << block << " " << t << " " << layer;
        }
      }
    }
  }
}

TEST(CacheMeans, PackedTheyTakeHalfTheMemory) {
  const AttentionCacheShape shape{4, 40, 1056, 1584, 3168, 4, 40, 128};
  const CacheBytes packed = cache_bytes(shape, {.packed = true}, 2), plain = cache_bytes(shape, {}, 2);
  EXPECT_EQ(packed.host, 0);
  EXPECT_LT(packed.device, plain.device * 53 / 100);
  EXPECT_GT(packed.device, plain.device / 2);
}

TEST_F(CacheTest, LayersOutOfTurnAreRefused) {
  AttentionCache cache = this->cache({true, 0, false, false});
  const at::Tensor rope = grid_rope(30, 1, 2, 3, kWidth);
  cache.begin_pass({0, 0, 1});
  EXPECT_THROW(cache.acquire(1, rope), InternalError);
  cache.acquire(0, rope);
  EXPECT_THROW(cache.release(1), InternalError);
  EXPECT_THROW(cache.begin_pass({1, 0, 1}), InternalError);
}

}  // namespace
}  // namespace latentcast
