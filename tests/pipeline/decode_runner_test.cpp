// Frames reach the video in order and complete, whether or not they stay behind while the next block is
// decoded.
#include "latentcast/pipeline/decode_runner.h"

#include <algorithm>
#include <string>
#include <vector>

#include "program.h"
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "latentcast/weights/checkpoint_source.h"
#include "latentcast/weights/torch_archive.h"

namespace latentcast {
namespace {

std::shared_ptr<const VaeDecoder> load_decoder() {
  const auto file = test::data_folder() / "tiny" / "checkpoint" / "Wan2.1_VAE.pth";
  CheckpointSource source(std::make_shared<const TensorArchive>(open_torch_archive(file.string())),
                          at::kFloat, at::kCPU);
  return std::make_shared<const VaeDecoder>(source);
}

/// What a video was given, in words and in bytes.
class Recorder : public FrameTaker {
 public:
  void take(const at::Tensor& frames) override {
    words.push_back("frames " + std::to_string(frames.size(0)));
    all.push_back(frames);
  }
  void end_clip() override { words.emplace_back("end"); }

  std::vector<std::string> words;
  std::vector<at::Tensor> all;
};

struct Outcome {
  std::vector<std::string> words;
  at::Tensor frames;
};

Outcome decode_two_clips(DecodeMode mode, bool another_waits) {
  const c10::InferenceMode inference;
  at::manual_seed(4);
  const at::Tensor motion = at::randn({16, 19, 4, 6});
  Recorder video;
  Trace off;
  Activity activity;
  const BlockSink sink = [&](int64_t clip, bool closed) {
    video.words.push_back((closed ? "closed " : "block of ") + std::to_string(clip));
  };
  DecodeRunner runner(DecodeStage(load_decoder(), mode, motion, off), video, {2, 3, 4, 2, 0}, off, sink,
                      activity);
  for (int block = 0; block < 5; ++block) {
    video.words.push_back("block " + std::to_string(block));
    runner.take(at::randn({16, 3, 4, 6}), another_waits && block < 4);
  }
  return {video.words, at::cat(video.all, 0)};
}

TEST(DecodeRunner, HandsFramesOnAtOnceIfNoBlockWaits) {
  const Outcome outcome = decode_two_clips(DecodeMode::kOnline, false);
  EXPECT_EQ(outcome.words,
            (std::vector<std::string>{"block 0", "frames 12", "block of 0", "block 1", "frames 12",
                                      "block of 0", "block 2", "frames 12", "block of 0", "end", "closed 0",
                                      "block 3", "frames 12", "block of 1", "block 4", "frames 12",
                                      "block of 1", "end", "closed 1"}));
}

TEST(DecodeRunner, FramesStayBehindWhileABlockWaitsButNotBeyondTheirClip) {
  const Outcome outcome = decode_two_clips(DecodeMode::kOnline, true);
  EXPECT_EQ(outcome.words,
            (std::vector<std::string>{"block 0", "block 1", "frames 12", "block of 0", "block 2", "frames 12",
                                      "block of 0", "frames 12", "block of 0", "end", "closed 0", "block 3",
                                      "block 4", "frames 12", "block of 1", "frames 12", "block of 1", "end",
                                      "closed 1"}));
  EXPECT_TRUE(outcome.frames.equal(decode_two_clips(DecodeMode::kOnline, false).frames));
}

TEST(DecodeRunner, BatchGivesAClipsFramesWithItsLastBlock) {
  for (const bool another_waits : {false, true}) {
    const Outcome outcome = decode_two_clips(DecodeMode::kBatch, another_waits);
    EXPECT_EQ(std::count(outcome.words.begin(), outcome.words.end(), "frames 36"), 1);
    EXPECT_EQ(std::count(outcome.words.begin(), outcome.words.end(), "frames 24"), 1);
    EXPECT_EQ(std::count(outcome.words.begin(), outcome.words.end(), "block of 0"), 3);
    EXPECT_EQ(std::count(outcome.words.begin(), outcome.words.end(), "block of 1"), 2);
  }
}

}  // namespace
}  // namespace latentcast
