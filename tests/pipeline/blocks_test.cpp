// How much of its last clip a render computes.

#include <algorithm>

#include "files.h"
#include "program.h"
#include <gtest/gtest.h>

#include "latentcast/pipeline/render.h"
#include "latentcast/weights/safetensors.h"

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;

/// Speech of 2.5 s: 63 frames, so the second clip's last two blocks (frames 72 to 95) lie wholly after it.
RenderJob short_job(const TemporaryFolder& folder) {
  const fs::path tiny = data_folder() / "tiny";
  write_wav(folder.path() / "speech.wav", repeated(read_wav(tiny / "speech.wav"), 40000));
  RenderJob job;
  job.ckpt_dir = tiny / "checkpoint";
  job.image = tiny / "portrait.png";
  job.audio = {folder.path() / "speech.wav"};
  job.prompt = "Somebody talks.";
  job.size = "64*64";
  job.sample_steps = 1;
  job.base_seed = 1;
  job.device = "cpu";
  job.threads = 1;
  job.run_dir = folder.path() / "run";
  return job;
}

/// A render reports after each block and after each clip.
int64_t blocks_computed(const RenderJob& job, int64_t frames, int64_t clips) {
  int64_t reports = 0;
  int argc = 0;
  char** argv = nullptr;
  const MpiSession alone(&argc, &argv);
  const auto count = [&](const RenderProgress& progress) { reports += progress.phase == "render"; };
  const RenderResult result = render(job, alone, count, [](const std::string&) {});
  EXPECT_EQ(result.frames, frames);
  EXPECT_EQ(result.clips, clips);
  return reports - result.clips;
}

TEST(Blocks, AfterTheSoundAreNotComputed) {
  const TemporaryFolder folder;
  EXPECT_EQ(blocks_computed(short_job(folder), 63, 2), 6);
}

TEST(Blocks, AreAllComputedForATrace) {
  const TemporaryFolder folder;
  RenderJob job = short_job(folder);
  job.trace = folder.path() / "trace.safetensors";
  EXPECT_EQ(blocks_computed(job, 63, 2), 8);
  const TensorArchive trace = open_safetensors(job.trace);
  EXPECT_NE(trace.find("block7.latents"), nullptr);
  EXPECT_EQ(trace.find("frames")->shape.front(), 2 * 48 - 3);
}

}  // namespace
}  // namespace latentcast::test
