#include <string>

#include "media_test_support.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "latentcast/error.h"
#include "latentcast/media/join.h"
#include "latentcast/media/sound_track.h"
#include "latentcast/media/video_writer.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kSmall;
using testing::message_of;
using testing::TemporaryFolder;
using testing::write_segment;

/// Something to write at `path`, as each of the module's writers.
using Writer = void (*)(const TemporaryFolder&, const fs::path&);

void write_a_segment(const TemporaryFolder&, const fs::path& path) {
  write_segment(path, kSmall, 0, 60, nullptr);
}

void write_a_track(const TemporaryFolder&, const fs::path& path) {
  encode_sound_track({testing::media_file("stereo44k.wav")}, path, 0);
}

void write_a_video(const TemporaryFolder& folder, const fs::path& path) {
  write_segment(folder / "0.ts", kSmall, 0, 10, nullptr);
  join_segments({folder / "0.ts"}, path);
}

class FailingOutput : public ::testing::TestWithParam<Writer> {};

TEST_P(FailingOutput, IsAFullDisk) {
  TemporaryFolder folder;
  const fs::path out = folder / "out";
  fs::create_symlink("/dev/full", out.string() + ".part");
  EXPECT_THAT(
      message_of<OutputError>([&] { GetParam()(folder, out); }),
      AllOf(HasSubstr(testing::quoted(out)), HasSubstr("No space left"), HasSubstr("free some space")));
  EXPECT_FALSE(fs::exists(fs::symlink_status(out)));
  EXPECT_FALSE(fs::exists(fs::symlink_status(out.string() + ".part")));
}

TEST_P(FailingOutput, IsAMissingFolder) {
  TemporaryFolder folder;
  const fs::path out = folder / "none/out";
  EXPECT_THAT(message_of<OutputError>([&] { GetParam()(folder, out); }),
              AllOf(HasSubstr(testing::quoted(out)), HasSubstr("No such file")));
}

TEST_P(FailingOutput, IsAFolderWithoutRights) {
  TemporaryFolder folder;
  // Root may write anywhere but there; others are refused by the rights.
  const fs::path closed = geteuid() == 0 ? fs::path("/proc/self") : folder / "closed";
  if (geteuid() != 0) {
    fs::create_directory(closed);
    fs::permissions(closed, fs::perms::owner_read | fs::perms::owner_exec);
  }
  const fs::path out = closed / "out";
  EXPECT_THAT(message_of<OutputError>([&] { GetParam()(folder, out); }), HasSubstr(testing::quoted(out)));
}

TEST_P(FailingOutput, IsAFolderInItsPlace) {
  TemporaryFolder folder;
  const fs::path out = folder / "out";
  fs::create_directories(out / "within");
  EXPECT_THAT(message_of<OutputError>([&] { GetParam()(folder, out); }), HasSubstr(testing::quoted(out)));
  EXPECT_FALSE(fs::exists(out.string() + ".part"));
}

std::string writer_name(const ::testing::TestParamInfo<Writer>& info) {
  return info.param == &write_a_segment ? "Segment" : info.param == &write_a_track ? "Track" : "Video";
}

INSTANTIATE_TEST_SUITE_P(Writers, FailingOutput,
                         ::testing::Values(&write_a_segment, &write_a_track, &write_a_video), writer_name);

TEST(Output, ReplacesWhatAKilledRunLeft) {
  TemporaryFolder folder;
  testing::write_text(folder / "a.ts.part", std::string(1000000, 'x'));
  testing::write_text(folder / "a.ts", "old");
  write_segment(folder / "a.ts", kSmall, 0, 3, nullptr);
  write_segment(folder / "b.ts", kSmall, 0, 3, nullptr);
  EXPECT_TRUE(testing::file_bytes(folder / "a.ts") == testing::file_bytes(folder / "b.ts"));
}

}  // namespace
}  // namespace latentcast
