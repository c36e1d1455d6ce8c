#include "latentcast/weights/safetensors_writer.h"

#include <array>
#include <csignal>

#include "weights/weights_test_support.h"
#include <sys/resource.h>

#include "latentcast/weights/safetensors.h"

namespace latentcast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

TEST(SafetensorsWriter, WritesWhatTheReaderReads) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder.file("out.safetensors"));
  const std::vector<uint8_t> small = {1, 2, 3};
  const std::vector<float> matrix = {1, 2, 3, 4};
  writer.add("small", DType::kU8, {3}, bytes_of(small));
  writer.add("matrix", DType::kF32, {2, 2}, bytes_of(matrix));
  writer.add("scalar", DType::kF32, {}, bytes_of(std::vector<float>{5}));
  writer.add("none", DType::kI64, {0, 7}, {});
  writer.close();
  const TensorArchive archive = open_safetensors(folder.file("out.safetensors"));
  EXPECT_THAT(archive.names(), ElementsAre("matrix", "none", "scalar", "small"));
  EXPECT_THAT(elements<float>(*archive.find("matrix")), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(archive.find("matrix")->shape, ElementsAre(2, 2));
  EXPECT_THAT(elements<uint8_t>(*archive.find("small")), ElementsAre(1, 2, 3));
  EXPECT_THAT(archive.find("none")->shape, ElementsAre(0, 7));
  EXPECT_EQ(folder.count(), 1U) << "temporary files are left";
}

TEST(SafetensorsWriter, GrowsTensorsRowByRow) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder.file("out.safetensors"));
  for (int32_t i = 0; i < 5; ++i) {
    writer.append("rows", DType::kI32, {2}, bytes_of(std::vector<int32_t>{i, -i}));
    writer.append("numbers", DType::kI64, {}, bytes_of(std::vector<int64_t>{i, 10 * i}));
  }
  writer.close();
  const TensorArchive archive = open_safetensors(folder.file("out.safetensors"));
  EXPECT_THAT(archive.find("rows")->shape, ElementsAre(5, 2));
  EXPECT_THAT(elements<int32_t>(*archive.find("rows")), ElementsAre(0, 0, 1, -1, 2, -2, 3, -3, 4, -4));
  EXPECT_THAT(elements<int64_t>(*archive.find("numbers")), ElementsAre(0, 0, 1, 10, 2, 20, 3, 30, 4, 40));
}

TEST(SafetensorsWriter, AlignsTheData) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder.file("out.safetensors"));
  writer.add("a", DType::kU8, {1}, bytes_of(std::vector<uint8_t>{1}));
  writer.add("b", DType::kF64, {1}, bytes_of(std::vector<double>{1}));
  writer.close();
  const TensorArchive archive = open_safetensors(folder.file("out.safetensors"));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(archive.find("b")->bytes.data()) % 64, 0U);
}

TEST(SafetensorsWriter, LeavesNothingBehindWithoutClose) {
  const TemporaryFolder folder;
  {
    SafetensorsWriter writer(folder.file("out.safetensors"));
    writer.append("rows", DType::kU8, {1}, bytes_of(std::vector<uint8_t>{1}));
  }
  EXPECT_EQ(folder.count(), 0U);
}

TEST(SafetensorsWriter, KeepsAnOlderFileUntilClose) {
  const TemporaryFolder folder;
  folder.write("out.safetensors", "old");
  SafetensorsWriter writer(folder.file("out.safetensors"));
  writer.add("a", DType::kU8, {1}, bytes_of(std::vector<uint8_t>{1}));
  EXPECT_EQ(std::filesystem::file_size(folder.file("out.safetensors")), 3U);
  writer.close();
  EXPECT_EQ(open_safetensors(folder.file("out.safetensors")).size(), 1U);
}

TEST(SafetensorsWriter, RefusesContradictions) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder.file("out.safetensors"));
  const std::vector<uint8_t> three = {1, 2, 3};
  writer.add("a", DType::kU8, {3}, bytes_of(three));
  writer.append("rows", DType::kU8, {3}, bytes_of(three));
  EXPECT_THROW(writer.add("a", DType::kU8, {3}, bytes_of(three)), InternalError);
  EXPECT_THROW(writer.add("b", DType::kU8, {2}, bytes_of(three)), InternalError);
  EXPECT_THROW(writer.add("b", DType::kU8, {-3}, bytes_of(three)), InternalError);
  EXPECT_THROW(writer.append("a", DType::kU8, {3}, bytes_of(three)), InternalError);
  EXPECT_THROW(writer.append("rows", DType::kI8, {3}, bytes_of(three)), InternalError);
  EXPECT_THROW(writer.append("rows", DType::kU8, {1}, bytes_of(three)), InternalError);
  EXPECT_THROW(writer.append("odd", DType::kU8, {2}, bytes_of(three)), InternalError);
  EXPECT_THROW(writer.add("__metadata__", DType::kU8, {3}, bytes_of(three)), InternalError);
  writer.close();
  EXPECT_THROW(writer.close(), InternalError);
  EXPECT_THROW(writer.add("late", DType::kU8, {3}, bytes_of(three)), InternalError);
}

TEST(SafetensorsWriter, SaysWhereItCantWrite) {
  const TemporaryFolder folder;
  const std::string path = folder.file("no/such/out.safetensors");
  try {
    SafetensorsWriter writer(path);
    FAIL() << "no OutputError";
  } catch (const OutputError& error) {
    EXPECT_THAT(error.what(), HasSubstr(path));
  }
}

/// The largest size that a file may get, as a full disk would set it.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit old_{};
  void (*old_handler_)(int);
};

TEST(SafetensorsWriter, AFullDiskLeavesNoPart) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder.file("out.safetensors"));
  writer.add("a", DType::kU8, {5000}, bytes_of(std::vector<uint8_t>(5000)));
  {
    const FileSizeLimit limit(4096);
    EXPECT_THROW(writer.add("b", DType::kU8, {5000}, bytes_of(std::vector<uint8_t>(5000))), OutputError);
    EXPECT_THROW(writer.close(), OutputError);
  }
  EXPECT_EQ(folder.count(), 0U);
}

}  // namespace
}  // namespace latentcast
