// Faults under the writers: a message, exit code 74, and the older checkpoint as good as before.

#include <csignal>

#include "checkpoint_test_support.h"
#include "small_disk.h"
#include <sys/resource.h>

#include "latentcast/progress/checkpoint_job.h"
#include "latentcast/progress/condition_store.h"

namespace latentcast::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace fs = std::filesystem;

at::Tensor big() { return at::arange(int64_t{3} << 18, at::kFloat); }  // 3 MiB

/// Limits the size of files that this process may write, as a quota does: a write stops short at the limit,
/// the next one fails.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    before_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit lower{bytes, limit_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &lower);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &limit_);
    std::signal(SIGXFSZ, before_);
  }

 private:
  rlimit limit_{};
  void (*before_)(int) = nullptr;
};

class Faults : public ::testing::Test {
 protected:
  Faults() : disk(folder.path() / "disk", "size=4m"), paths(disk.path() / "run") {}
  void SetUp() override {
    if (!disk.mounted()) GTEST_SKIP() << disk.reason();
    fs::create_directories(paths.root);
    write_checkpoint(paths, 1);
  }
  /// What happened is over: the old one is whole, and a new one can be written.
  void expect_unharmed() {
    EXPECT_EQ(find_checkpoint(paths, "the job").position, 1);
    EXPECT_EQ(failure([&] { read_checkpoint(paths, 1); }), "nothing");
    EXPECT_EQ(failure([&] { write_checkpoint(paths, 2); }), "nothing");
    EXPECT_EQ(failure([&] { read_checkpoint(paths, 2); }), "nothing");
    EXPECT_THAT(checkpoint_positions(paths), ElementsAre(2, 1));
  }

  TemporaryFolder folder;
  SmallDisk disk;
  RunPaths paths;
};

TEST_F(Faults, AFullDiskWhileATensorIsWritten) {
  begin_checkpoint(paths, 2);
  {
    CheckpointFileWriter writer(paths, 2, CheckpointPart::decoder());
    writer.add("first", big());
    EXPECT_THAT(failure([&] { writer.add("second", big()); }),
                AllOf(StartsWith("74: "), HasSubstr("clip-000002.part/decoder.h5"),
                      HasSubstr("No space left"), HasSubstr("free some space and run again")));
  }
  expect_unharmed();
}

TEST_F(Faults, AFullDiskAtEveryStepOfACheckpoint) {
  // Leaves ever more room: the disk fills up in the first file's structures, in its contents, in a later
  // file, in the manifest; at last everything fits.
  const fs::path ballast = disk.path() / "ballast";
  bool fitted = false;
  int refused = 0;
  for (int64_t room = 0; room < (3 << 20) && !fitted; room += 16384) {
    const fs::space_info space = fs::space(disk.path());
    ASSERT_GT(static_cast<int64_t>(space.available), room);
    write_bytes(ballast, std::string(static_cast<size_t>(space.available) - static_cast<size_t>(room), 'x'));
    const std::string outcome = failure([&] { write_checkpoint(paths, 2); });
    fs::remove(ballast);
    fitted = outcome == "nothing";
    if (fitted) break;
    ++refused;
    ASSERT_THAT(outcome, AllOf(StartsWith("74: "), HasSubstr("No space left"))) << room;
    ASSERT_EQ(find_checkpoint(paths, "the job").position, 1) << room;
    ASSERT_EQ(failure([&] { read_checkpoint(paths, 1); }), "nothing") << room;
  }
  EXPECT_TRUE(fitted);
  EXPECT_GT(refused, 8);
  EXPECT_EQ(find_checkpoint(paths, "the job").position, 2);
  EXPECT_EQ(failure([&] { read_checkpoint(paths, 2); }), "nothing");
}

TEST_F(Faults, WritesThatStopShort) {
  begin_checkpoint(paths, 2);
  {
    CheckpointFileWriter writer(paths, 2, CheckpointPart::decoder());
    const FileSizeLimit limit(1500000);  // within a piece of what is written at once
    EXPECT_THAT(failure([&] { writer.add("tensor", big()); }),
                AllOf(StartsWith("74: "), HasSubstr("decoder.h5"), HasSubstr("File too large")));
  }
  expect_unharmed();
}

TEST_F(Faults, HDF5sOwnStructuresCannotBeWritten) {
  begin_checkpoint(paths, 2);
  {
    CheckpointFileWriter writer(paths, 2, CheckpointPart::decoder());
    writer.add("tensor", at::rand({100}));
    const FileSizeLimit limit(64);
    EXPECT_THAT(failure([&] { writer.close(); }), AllOf(StartsWith("74: "), HasSubstr("decoder.h5")));
  }
  expect_unharmed();
}

TEST_F(Faults, AVanishedFolder) {
  begin_checkpoint(paths, 2);
  fs::remove_all(paths.checkpoint_part(2));
  EXPECT_THAT(failure([&] { CheckpointFileWriter writer(paths, 2, CheckpointPart::decoder()); }),
              AllOf(StartsWith("74: "), HasSubstr("decoder.h5"), HasSubstr("No such file")));
  expect_unharmed();
  begin_checkpoint(paths, 3);
  const std::vector<CheckpointFile> files = write_parts(paths, 3);
  fs::remove(paths.checkpoint_part(3) / "render.h5");
  EXPECT_THAT(
      failure([&] { publish_checkpoint(paths, sample_manifest(3, sample_segments(paths, 3), files)); }),
      AllOf(StartsWith("74: "), HasSubstr("render.h5")));
  fs::remove_all(paths.checkpoint_part(3));
  EXPECT_THAT(
      failure([&] { publish_checkpoint(paths, sample_manifest(3, sample_segments(paths, 3), files)); }),
      StartsWith("74: "));
  EXPECT_EQ(find_checkpoint(paths, "the job").position, 2);
}

TEST_F(Faults, ADiskThatBecomesReadOnly) {
  begin_checkpoint(paths, 2);
  const std::vector<CheckpointFile> files = write_parts(paths, 2);
  const std::vector<SegmentEntry> segments = sample_segments(paths, 2);
  ASSERT_TRUE(disk.make_read_only());
  EXPECT_THAT(failure([&] { publish_checkpoint(paths, sample_manifest(2, segments, files)); }),
              AllOf(StartsWith("74: "), HasSubstr("Read-only file system")));
  EXPECT_THAT(failure([&] { begin_checkpoint(paths, 3); }), StartsWith("74: "));
  EXPECT_EQ(find_checkpoint(paths, "the job").position, 1);
  ASSERT_TRUE(disk.resize("size=4m"));
  expect_unharmed();
}

TEST_F(Faults, BehindTheComputingReachTheNextCall) {
  begin_checkpoint(paths, 2);
  {
    CheckpointQueue queue(paths, 1 << 20);
    queue.open(2, CheckpointPart::decoder());
    const auto fill = [&] {
      for (int i = 0; i < 10; ++i) queue.add("tensor-" + std::to_string(i), big());
      queue.close();
      queue.files();
    };
    EXPECT_THAT(failure(fill),
                AllOf(StartsWith("74: "), HasSubstr("decoder.h5"), HasSubstr("No space left")));
    EXPECT_THAT(failure([&] { queue.add_number("late", 1); }), StartsWith("74: ")) << "it stays so";
    EXPECT_TRUE(queue.idle());
    EXPECT_THAT(failure([&] { queue.files(); }), StartsWith("74: "));
  }
  expect_unharmed();
}

TEST_F(Faults, AFullDiskUnderTheConditions) {
  StoredConditions conditions;
  conditions.text = at::rand({4, 8});
  conditions.reference_latents = conditions.motion_latents = at::rand({16, 1, 2, 2});
  conditions.clips = 3;
  const auto write = [&] {
    ConditionWriter writer(paths.conditions(), "the job", conditions);
    for (int64_t clip = 0; clip < 3; ++clip) writer.add_audio(at::rand({1, 48, 12000}));  // 2.2 MiB each
    writer.close();
  };
  EXPECT_THAT(failure(write),
              AllOf(StartsWith("74: "), HasSubstr("conditions.h5"), HasSubstr("No space left")));
  EXPECT_FALSE(fs::exists(paths.conditions()));
  EXPECT_FALSE(fs::exists(paths.conditions().string() + ".part")) << "gives its room back";
  ASSERT_TRUE(disk.resize("size=16m"));
  EXPECT_EQ(failure(write), "nothing");
  EXPECT_TRUE(ConditionStore::open(paths.conditions(), "the job"));
}

}  // namespace
}  // namespace latentcast::test
