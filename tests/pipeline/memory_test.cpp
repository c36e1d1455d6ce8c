// Memory that must not grow: the decoder's with the blocks a clip, the whole program's with the clips.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "files.h"
#include "program.h"
#include "tiny_run.h"
#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "latentcast/pipeline/decode.h"
#include "latentcast/weights/checkpoint_source.h"
#include "latentcast/weights/torch_archive.h"

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;

/// Counts the bytes of all tensors that are alive, and of what oneDNN works in, once it is installed.
class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) {
      return {nullptr, nullptr, &release, at::kCPU};
    }
    auto* const block = static_cast<std::byte*>(std::aligned_alloc(kHeader, (bytes / kHeader + 2) * kHeader));
    std::memcpy(block, &bytes, sizeof bytes);
    count(static_cast<int64_t>(bytes));
    return {block + kHeader, block + kHeader, &release, at::kCPU};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  static int64_t current() { return current_; }
  static int64_t peak() { return peak_; }
  static void restart_peak() { peak_ = current_.load(); }

 private:
  static constexpr size_t kHeader = 64;  // LibTorch's alignment; holds the size

  static void release(void* data) {
    if (data != nullptr) {
      std::byte* const block = static_cast<std::byte*>(data) - kHeader;
      size_t bytes = 0;
      std::memcpy(&bytes, block, sizeof bytes);
      current_ -= static_cast<int64_t>(bytes);
      std::free(block);
    }
  }
  static void count(int64_t bytes) {
    const int64_t now = current_ += bytes;
    for (int64_t seen = peak_; now > seen && !peak_.compare_exchange_weak(seen, now);) {
    }
  }

  // LibTorch's deleters know nothing of an object.
  static inline std::atomic<int64_t> current_ = 0, peak_ = 0;
};

std::shared_ptr<const VaeDecoder> load_decoder() {
  const fs::path file = data_folder() / "cases" / "landscape" / "checkpoint" / "Wan2.1_VAE.pth";
  CheckpointSource source(std::make_shared<const TensorArchive>(open_torch_archive(file.string())),
                          at::kFloat, at::kCPU);
  return std::make_shared<const VaeDecoder>(source);
}

/// Bytes that decoding two clips takes at most, beyond what was there before: the state and what it works in.
int64_t peak_of_decoding(const std::shared_ptr<const VaeDecoder>& decoder, DecodeMode mode, int64_t blocks) {
  const c10::InferenceMode inference;
  const at::Tensor motion = at::zeros({16, 19, 8, 12}), latents = at::ones({16, 3, 8, 12});
  const int64_t before = CountingAllocator::current();
  Trace trace;
  int64_t frames = 0;
  DecodeStage stage(decoder, mode, motion, trace);
  CountingAllocator::restart_peak();  // filling the decoder's past takes as much in both modes
  for (int64_t block = 0; block < 2 * blocks; ++block) {
    // A block's latents come from the stage before; they are this block's own.
    stage.take(latents.clone(), (block + 1) % blocks == 0,
               [&](const at::Tensor& made) { frames += made.size(1); });
  }
  EXPECT_EQ(frames, 2 * blocks * 12);
  return CountingAllocator::peak() - before;
}

TEST(DecodingMemory, GrowsWithTheClipInBatchOnly) {
  static CountingAllocator allocator;  // LibTorch may use it until the process ends
  c10::SetCPUAllocator(&allocator, /*priority=*/100);
  const auto decoder = load_decoder();
  const auto peaks = [&](DecodeMode mode, const char* name) {
    std::vector<int64_t> bytes;
    for (int64_t blocks : {1, 4, 8}) {
      bytes.push_back(peak_of_decoding(decoder, mode, blocks));
      std::printf("%s, %lld blocks a clip: %lld bytes\n", name, static_cast<long long>(blocks),
                  static_cast<long long>(bytes.back()));
    }
    return bytes;
  };
  const std::vector<int64_t> online = peaks(DecodeMode::kOnline, "online"),
                             batch = peaks(DecodeMode::kBatch, "batch");
  EXPECT_EQ(online[1], online[0]);
  EXPECT_EQ(online[2], online[0]);
  EXPECT_GT(batch[1], 2 * batch[0]);
  EXPECT_GT(batch[2], 3 * batch[1] / 2);
  EXPECT_GT(online[0], 1 << 20) << "less than the decoder's state: nothing was counted";
}

/// Column `name` of RUN/telemetry.csv, a line a clip.
std::vector<int64_t> telemetry(const fs::path& run_dir, const std::string& name) {
  std::istringstream lines(read_bytes(run_dir / "telemetry.csv"));
  std::vector<std::vector<std::string>> table;
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string>& row = table.emplace_back();
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) {
      row.push_back(cell);
    }
  }
  const auto& header = table.at(0);
  const auto column = static_cast<size_t>(std::find(header.begin(), header.end(), name) - header.begin());
  std::vector<int64_t> values;
  for (size_t i = 1; i < table.size(); ++i) {
    values.push_back(std::stoll(table[i].at(column)));
  }
  return values;
}

/// The address sanitizer keeps what is freed for a while.
constexpr bool kFreedIsKept =
#ifdef __SANITIZE_ADDRESS__
    true;
#else
    false;
#endif

void expect_within_3_percent(const char* what, int64_t after_10, int64_t after_40) {
  std::printf("%s, bytes, clip 10: %lld, clip 40: %lld\n", what, static_cast<long long>(after_10),
              static_cast<long long>(after_40));
  EXPECT_GT(after_10, 1 << 20);
  EXPECT_LE(static_cast<double>(after_40), 1.03 * static_cast<double>(after_10)) << what;
}

void expect_flat_after_clip_10(const fs::path& run_dir) {
  const std::vector<int64_t> peak = telemetry(run_dir, "peak_resident_bytes");
  ASSERT_EQ(peak.size(), 40u);
  expect_within_3_percent("peak resident", peak[9], peak[39]);
  // The encoders' peak, before the first clip, would hide a good deal of growing.
  const std::vector<int64_t> now = telemetry(run_dir, "resident_bytes");
  expect_within_3_percent("resident at a clip's end, most of ten clips", *std::max_element(&now[0], &now[10]),
                          *std::max_element(&now[30], &now[39] + 1));
}

constexpr size_t kClipSamples = 48 * 16000 / 25;

/// A case's speech, again and again, for 40 clips.
fs::path long_speech(const fs::path& folder, const fs::path& speech) {
  write_wav(folder / "speech.wav", repeated(read_wav(speech), 40 * kClipSamples));
  return folder / "speech.wav";
}

TEST(ResidentMemory, IsFlatOver40TinyClips) {
  if (kFreedIsKept) GTEST_SKIP() << "the address sanitizer keeps freed memory";
  const TemporaryFolder folder;
  const fs::path speech = long_speech(folder.path(), data_folder() / "tiny" / "speech.wav");
  render_tiny(folder.path() / "run", {{"audio", speech}, {"num_clip", "40"}, {"sample_steps", "1"}});
  expect_flat_after_clip_10(folder.path() / "run");
}

TEST(LongResidentMemory, IsFlatOver40ClipsOfTheLandscapeCase) {
  if (kFreedIsKept) GTEST_SKIP() << "the address sanitizer keeps freed memory";
  const TemporaryFolder folder;
  std::vector<std::string> args = case_arguments("landscape", folder.path() / "run");
  *(std::find(args.begin(), args.end(), "--num_clip") + 1) = "40";
  *(std::find(args.begin(), args.end(), "--audio") + 1) =
      long_speech(folder.path(), data_folder() / "cases" / "landscape" / "speech.wav");
  const ProgramResult result = run_latentcast(args);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_flat_after_clip_10(folder.path() / "run");
}

}  // namespace
}  // namespace latentcast::test
