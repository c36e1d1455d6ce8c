#include "latentcast/weights/mapped_file.h"

#include <utility>

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

}  // namespace
}  // namespace latentcast
