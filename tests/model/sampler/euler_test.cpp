#include "latentcast/model/sampler/euler.h"

#include <cstdlib>
#include <fstream>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "latentcast/model/sampler/noise.h"

namespace latentcast {
namespace {

nlohmann::json tables() {
  return nlohmann::json::parse(
      std::ifstream(std::string(std::getenv("LATENTCAST_TEST_DATA")) + "/tables.json"));
}

TEST(EulerSchedule, IsTheSchedulersForEveryNumberOfSteps) {
  const nlohmann::json wanted = tables().at("euler_shift_3");
  ASSERT_GE(wanted.size(), 5u);
  for (const auto& [steps, row] : wanted.items()) {
    const EulerSchedule schedule = make_euler_schedule(std::stoi(steps), 3.0);
    const auto timesteps = row.at("timesteps").get<std::vector<float>>();
    const auto sigmas = row.at("sigmas").get<std::vector<float>>();
    ASSERT_EQ(schedule.timesteps.size(), timesteps.size());
    ASSERT_EQ(schedule.sigmas.size(), sigmas.size());
    for (size_t i = 0; i < timesteps.size(); ++i) {
      EXPECT_FLOAT_EQ(schedule.timesteps[i], timesteps[i]) << steps << " steps, step " << i;
      EXPECT_FLOAT_EQ(schedule.sigmas[i], sigmas[i]) << steps << " steps, step " << i;
    }
    EXPECT_EQ(schedule.sigmas.back(), 0.0f);
  }
}

TEST(EulerSchedule, ObeysTheShift) {
  EXPECT_NE(make_euler_schedule(4, 5.0).sigmas[1], make_euler_schedule(4, 3.0).sigmas[1]);
}

TEST(ClipNoise, DependsOnSeedPlusClipAlone) {
  const at::Tensor a = clip_noise(420, 1, 12, 8, 8);
  EXPECT_TRUE(at::equal(a, clip_noise(421, 0, 12, 8, 8)));
  EXPECT_FALSE(at::equal(a, clip_noise(420, 0, 12, 8, 8)));
  EXPECT_NEAR(a.std().item<double>(), 1.0, 0.05);
}

TEST(ConditionDistance, CoversItsRangeAndIsReproducible) {
  std::vector<int> seen(31, 0);
  for (int64_t block = 0; block < 1000; ++block) {
    const int distance = draw_condition_distance(7, block / 4, block % 4, 2);
    ASSERT_GE(distance, 4);
    ASSERT_LE(distance, 30);
    EXPECT_EQ(distance, draw_condition_distance(7, block / 4, block % 4, 2));
    ++seen[static_cast<size_t>(distance)];
  }
  for (size_t distance = 4; distance <= 30; ++distance) {
    EXPECT_GT(seen[distance], 10) << distance;
  }
}

TEST(ConditionDistance, DependsOnEveryArgument) {
  const auto row = [](uint64_t seed, int64_t clip, int64_t block, int64_t timestep) {
    std::vector<int> values;
    for (int64_t i = 0; i < 16; ++i) {
      values.push_back(draw_condition_distance(seed + static_cast<uint64_t>(100 * i), clip, block, timestep));
    }
    return values;
  };
  const std::vector<int> base = row(1, 2, 3, 0);
  EXPECT_NE(base, row(2, 2, 3, 0));
  EXPECT_NE(base, row(1, 3, 3, 0));
  EXPECT_NE(base, row(1, 2, 2, 0));
  EXPECT_NE(base, row(1, 2, 3, 1));
}

}  // namespace
}  // namespace latentcast
