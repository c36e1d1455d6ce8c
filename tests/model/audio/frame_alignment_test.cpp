#include "latentcast/model/audio/frame_alignment.h"

#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace latentcast {
namespace {

TEST(AudioAlignment, IsThePublicOneInEveryRow) {
  const std::string file = std::string(std::getenv("LATENTCAST_TEST_DATA")) + "/tables.json";
  const nlohmann::json rows = nlohmann::json::parse(std::ifstream(file)).at("audio_frames");
  ASSERT_GE(rows.size(), 20u);
  for (const nlohmann::json& row : rows) {
    const auto features = row.at("frames_at_30").get<int64_t>();
    const AudioAlignment alignment = align_audio(features, 48);
    EXPECT_EQ(alignment.clips, row.at("clips").get<int64_t>()) << features;
    const auto wanted = row.at("picked").get<std::vector<int64_t>>();  // feature + 1, or 0 for silence
    ASSERT_EQ(alignment.picked.size(), wanted.size()) << features;
    for (size_t i = 0; i < wanted.size(); ++i) {
      const int64_t picked = alignment.picked[i] < features ? alignment.picked[i] + 1 : 0;
      EXPECT_EQ(picked, wanted[i]) << features << " features, frame " << i;
    }
  }
}

TEST(AudioAlignment, FeaturesAtThirtyAreCutNotRounded) {
  EXPECT_EQ(features_at_30(1), 0);
  EXPECT_EQ(features_at_30(2), 1);
  EXPECT_EQ(features_at_30(384), 230);
}

}  // namespace
}  // namespace latentcast
