#include "latentcast/config/size.h"

#include "config_test_support.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "latentcast/config/render_job.h"

namespace latentcast {
namespace {

using testing::HasSubstr;

TEST(FitToArea, GivesThePublicSizes) {
  std::ifstream in(test_data() / "tables.json");
  const auto rows = nlohmann::json::parse(in)["sizes"]["rows"];
  ASSERT_EQ(rows.size(), 252u);
  for (const auto& row : rows) {  // image height, image width, size, height, width
    RenderJob job;
    job.size = row[2];
    const FrameSize size = fit_to_area(row[1], row[0], area(job));
    EXPECT_EQ(size, (FrameSize{row[4], row[3]})) << row << " gave " << size.width << "x" << size.height;
  }
}

TEST(FitToArea, KeepsToTheSmallestArea) {
  EXPECT_EQ(fit_to_area(64, 64, 64 * 64), (FrameSize{64, 64}));
  EXPECT_EQ(fit_to_area(639, 65, 64 * 64), (FrameSize{64, 64}));
  EXPECT_EQ(fit_to_area(16, 16, 98304), (FrameSize{64, 64}));
}

TEST(FitToArea, RefusesPicturesWithoutAFrame) {
  EXPECT_THAT(refusal([] { fit_to_area(1, 1, 98304); }), HasSubstr("smallest usable picture is 16x16"));
  EXPECT_THAT(refusal([] { fit_to_area(0, 100, 98304); }), HasSubstr("smallest usable picture"));
  EXPECT_THAT(refusal([] { fit_to_area(-5, 100, 98304); }), HasSubstr("smallest usable picture"));
  EXPECT_THAT(refusal([] { fit_to_area(100000, 20, 98304); }), HasSubstr("both sides at least 64"));
  EXPECT_THAT(refusal([] { fit_to_area(2000000, 2000, 98304); }), HasSubstr("longer than"));
}

TEST(FitToArea, NeverExceedsTheArea) {
  for (int width = 64; width < 5000; width += 331) {
    for (int height = 64; height < 5000; height += 397) {
      try {
        const FrameSize size = fit_to_area(width, height, 253184);
        EXPECT_EQ(size.width % 64 + size.height % 64, 0);
        EXPECT_LE(size.width * size.height, 253184);
      } catch (const InputError&) {
        EXPECT_GT(std::max(width, height), 20 * std::min(width, height)) << width << "x" << height;
      }
    }
  }
}

TEST(Area, ReadsTheSize) {
  const auto area_of = [](const std::string& size) {
    RenderJob job;
    job.size = size;
    return area(job);
  };
  EXPECT_EQ(area_of("688*368"), 253184);
  EXPECT_EQ(area_of("688x368"), 253184);
  EXPECT_EQ(area_of("64*64"), 4096);
  EXPECT_EQ(area_of("4096*4096"), 4096 * 4096);
  for (const char* bad : {"", "688", "*", "688*", "*368", "-688*-368", "688*368*1", "6e2*300", "688 * 368",
                          "0*500", "99999999999*1"}) {
    EXPECT_THAT(refusal([&] { area_of(bad); }), HasSubstr("not an area")) << bad;
  }
  EXPECT_THAT(refusal([&] { area_of("63*64"); }), HasSubstr("out of range"));
  EXPECT_THAT(refusal([&] { area_of("4097*4096"); }), HasSubstr("out of range"));
}

}  // namespace
}  // namespace latentcast
