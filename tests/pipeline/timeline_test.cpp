#include "latentcast/pipeline/timeline.h"

#include <gtest/gtest.h>

namespace latentcast {
namespace {

RenderJob job(std::optional<int> clips = std::nullopt, FirstFrames first = FirstFrames::kHold,
              int frames = 48) {
  RenderJob j;
  j.num_clip = clips;
  j.first_frames = first;
  j.infer_frames = frames;
  return j;
}

TEST(Timeline, EndsWithTheSound) {
  const Timeline t = make_timeline(job(), 5, 7.7);
  EXPECT_EQ(t.video_frames, 193);
  EXPECT_EQ(t.clips, 5);
  EXPECT_TRUE(t.is_seen(4, 0));
  EXPECT_FALSE(t.is_seen(4, 1));
}

TEST(Timeline, EndsAtNumClipOrWhereTheSoundsClipsEnd) {
  EXPECT_EQ(make_timeline(job(2), 5, 7.7).video_frames, 96);
  EXPECT_EQ(make_timeline(job(100), 4, 7.7).video_frames, 192);
}

TEST(Timeline, DroppedFramesShortenTheVideoOnlyAtTheClipsEnd) {
  const Timeline t = make_timeline(job(2, FirstFrames::kDrop), 5, 7.7);
  EXPECT_EQ(t.video_frames, 93);
  EXPECT_EQ(t.clip_begin(0), 0);
  EXPECT_EQ(t.clip_begin(1), 45);
}

TEST(Timeline, WithDroppedFramesTheVideoStillEndsWithTheSound) {
  EXPECT_EQ(make_timeline(job(std::nullopt, FirstFrames::kDrop, 12), 5, 2.4).video_frames, 60);
  EXPECT_EQ(make_timeline(job(5, FirstFrames::kDrop, 12), 5, 2.35).video_frames, 59);
  EXPECT_EQ(make_timeline(job(4, FirstFrames::kDrop, 12), 5, 2.4).video_frames, 45)
      << "before the sound's end";
}

TEST(Timeline, AClipThatNobodySeesIsNotRendered) {
  // 1.92 s fill one clip exactly; the public count says two.
  const Timeline t = make_timeline(job(), 2, 1.92);
  EXPECT_EQ(t.clips, 1);
  EXPECT_EQ(t.video_frames, 48);
  RenderJob traced = job();
  traced.trace = "trace.safetensors";
  EXPECT_EQ(make_timeline(traced, 2, 1.92).clips, 2);
}

TEST(Timeline, OtherClipLengths) {
  const Timeline t = make_timeline(job(std::nullopt, FirstFrames::kHold, 96), 2, 5.0);
  EXPECT_EQ(t.blocks_per_clip(), 8);
  EXPECT_EQ(t.video_frames, 125);
  EXPECT_TRUE(t.is_seen(1, 2));
  EXPECT_FALSE(t.is_seen(1, 3));
}

}  // namespace
}  // namespace latentcast
