#include "sizes.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "latentcast/budget/memory_planner.h"
#include "latentcast/error.h"

namespace latentcast {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr double kGib = 1 << 30;

MemoryRequest request(int world_size, double gib) {
  MemoryRequest request;
  request.layout = test::ranks(world_size);
  request.model = test::large_model();
  request.work = test::large_work();
  request.budget = static_cast<int64_t>(gib * kGib);
  request.budget_text = "--vram";
  return request;
}

std::string refusal(const MemoryRequest& request) {
  try {
    plan_memory(request);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(MemoryPlanner, WithRoomForAllNothingIsAdded) {
  const MemoryPlan plan = plan_memory(request(1, 90));
  EXPECT_EQ(plan.means, MemoryMeans{});
  EXPECT_EQ(plan_options_text(plan), "no further options");
}

TEST(MemoryPlanner, TakesTheMeansInOrder) {
  EXPECT_THAT(plan_options(plan_memory(request(1, 65))), ElementsAre("--fp8"));
  EXPECT_THAT(plan_options(plan_memory(request(1, 45))), ElementsAre("--fp8", "--kv_dtype fp8"));
  EXPECT_THAT(plan_options(plan_memory(request(1, 24))),
              AllOf(Contains("--offload_kv_cache"), Not(Contains("--offload_condition_cache"))));
}

TEST(MemoryPlanner, StaysWithinEveryBudgetOrNamesALargerOne) {
  for (const int world_size : {1, 2, 3, 4, 5}) {
    for (double gib = 6; gib < 90; gib += 1.7) {
      const MemoryRequest one = request(world_size, gib);
      try {
        const MemoryPlan plan = plan_memory(one);
        EXPECT_LE(plan.device_bytes(), one.budget);
        EXPECT_EQ(plan.ranks.size(), static_cast<size_t>(world_size));
      } catch (const InputError& error) {
        EXPECT_THAT(error.what(), HasSubstr("The least that would do is")) << world_size << ", " << gib;
        EXPECT_LT(gib, 20) << world_size;
      }
    }
  }
}

TEST(MemoryPlanner, TheLeastThatItNamesWouldDo) {
  const std::string text = refusal(request(1, 4));
  const size_t at = text.find("would do is ");
  ASSERT_NE(at, std::string::npos) << text;
  const double least = std::stod(text.substr(at + 12));
  EXPECT_EQ(refusal(request(1, least)), "accepted");
  EXPECT_NE(refusal(request(1, least - 0.2)), "accepted");
  EXPECT_THAT(text, HasSubstr("--offload_decoder_state"));
}

TEST(MemoryPlanner, KeepsAsManyLayersOnTheDeviceAsThereIsRoomFor) {
  const MemoryRequest one = request(1, 27);
  const MemoryPlan plan = plan_memory(one);
  ASSERT_TRUE(plan.means.cache.on_host);
  ASSERT_GT(plan.means.cache.device_layers, 0);
  MemoryMeans more = plan.means;
  ++more.cache.device_layers;
  EXPECT_GT(estimate_memory(one.model, one.work, plan.layout, more)[0].device_bytes(), one.budget);
}

TEST(MemoryPlanner, SeveralRanksDivideTheWeightsFirst) {
  const MemoryPlan plan = plan_memory(request(2, 45));
  EXPECT_EQ(plan.means, MemoryMeans{});
  EXPECT_TRUE(plan.layout.shard || plan.layout.split == Split::kLayers);
  EXPECT_THAT(plan_options(plan), Contains("--split layers"));
}

TEST(MemoryPlanner, WhatTheUserAskedForStays) {
  MemoryRequest one = request(2, 40);
  one.layout.split = Split::kTimestep;
  one.given.cache.on_host = true;
  one.given.cache.device_layers = 3;
  const MemoryPlan plan = plan_memory(one);
  EXPECT_EQ(plan.layout.split, Split::kTimestep);
  EXPECT_EQ(plan.means.cache.device_layers, 3);
  EXPECT_TRUE(plan.means.cache.on_host);
}

TEST(MemoryPlanner, EightBitsOnlyWhereTheyWork) {
  MemoryRequest one = request(1, 40);
  one.fp8_works = false;
  EXPECT_FALSE(plan_memory(one).means.fp8);
}

}  // namespace
}  // namespace latentcast
