#include "latentcast/weights/mapped_file.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "weights/weights_test_support.h"

namespace latentcast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(MappedFile, GivesTheBytesOfAFile) {
  const TemporaryFolder folder;
  const MappedFile file(folder.write("a", "abc"));
  ASSERT_EQ(file.bytes().size(), 3U);
  EXPECT_EQ(std::memcmp(file.bytes().data(), "abc", 3), 0);
}

TEST(MappedFile, ReadsPartsOfTheFileAndNoticesACutOne) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a", "abcdef");
  const MappedFile file(path);
  std::array<std::byte, 3> part{};
  file.read(file.bytes().subspan(2, 3), part.data());
  EXPECT_EQ(std::memcmp(part.data(), "cde", 3), 0);
  std::filesystem::resize_file(path, 4);
  EXPECT_THAT(input_error([&] { file.read(file.bytes().subspan(2, 3), part.data()); }),
              AllOf(HasSubstr(path), HasSubstr("cut short")));
}

TEST(MappedFile, MovesWithItsMapping) {
  const TemporaryFolder folder;
  MappedFile first(folder.write("a", "abc"));
  const MappedFile second(std::move(first));
  EXPECT_EQ(second.bytes().size(), 3U);
  EXPECT_TRUE(first.bytes().empty());
}

TEST(MappedFile, RefusesWhatIsNoFile) {
  const TemporaryFolder folder;
  EXPECT_THAT(input_error([&] { MappedFile{folder.file("none")}; }),
              AllOf(HasSubstr("none"), HasSubstr("No such")));
  EXPECT_THAT(input_error([&] { MappedFile{folder.file("")}; }), HasSubstr("folder"));
  EXPECT_THAT(input_error([&] { MappedFile{folder.write("void", "")}; }), HasSubstr("empty"));
  EXPECT_THAT(input_error([&] { MappedFile{"/dev/zero"}; }), HasSubstr("regular file"));
}

TEST(MappedFile, RefusesAFileThatMayNotBeRead) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const TemporaryFolder folder;
  const std::string path = folder.write("secret", "abc");
  std::filesystem::permissions(path, std::filesystem::perms::none);
  EXPECT_THAT(input_error([&] { MappedFile{path}; }), HasSubstr("denied"));
}

/// Memory that the mapping of this file takes now, in KiB.
size_t resident_kib(const std::string& path) {
  std::ifstream maps("/proc/self/smaps");
  size_t kib = 0;
  bool ours = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.ends_with(path)) ours = true;
    if (ours && line.starts_with("Rss:")) {
      kib += std::stoul(line.substr(4));
      ours = false;
    }
  }
  return kib;
}

TEST(MappedFile, ReleasesMemoryThatStaysReadable) {
  constexpr size_t kSize = 4 << 20;
  const TemporaryFolder folder;
  const MappedFile file(folder.write("large", std::string(kSize - 1, 'a') + "b"));
  EXPECT_EQ(std::count(file.bytes().begin(), file.bytes().end(), std::byte{'a'}), kSize - 1);
  EXPECT_EQ(resident_kib(file.path()), kSize / 1024);
  file.release(file.bytes().subspan(kSize / 2));
  EXPECT_LE(resident_kib(file.path()), kSize / 2048);
  EXPECT_GE(resident_kib(file.path()), kSize / 2048 - 64) << "much more was released than asked for";
  EXPECT_EQ(file.bytes().back(), std::byte{'b'});
  file.release(file.bytes());
  EXPECT_EQ(resident_kib(file.path()), 0U);
  EXPECT_EQ(file.bytes().front(), std::byte{'a'});
}

TEST(MappedFile, KnowsItsBytes) {
  const TemporaryFolder folder;
  const MappedFile file(folder.write("a", "abc"));
  EXPECT_TRUE(file.holds(file.bytes()));
  EXPECT_TRUE(file.holds(file.bytes().subspan(1, 1)));
  const std::vector<std::byte> elsewhere(3);
  EXPECT_FALSE(file.holds(elsewhere));
}

}  // namespace
}  // namespace latentcast
