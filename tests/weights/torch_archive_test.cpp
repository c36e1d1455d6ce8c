#include "latentcast/weights/torch_archive.h"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <vector>

#include "weights/weights_test_support.h"

namespace latentcast {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(TorchArchive, ReadsEveryTypeOfAStateDict) {
  const TensorArchive archive = open_torch_archive(weights_data("state.pth"));
  const std::vector<std::pair<std::string, DType>> types = {
      {"double", DType::kF64},  {"float", DType::kF32}, {"half", DType::kF16},
      {"bfloat", DType::kBF16}, {"long", DType::kI64},  {"int", DType::kI32},
      {"short", DType::kI16},   {"char", DType::kI8},   {"byte", DType::kU8}};
  for (const auto& [name, dtype] : types) {
    const TensorView* const view = archive.find(name);
    ASSERT_NE(view, nullptr) << name;
    EXPECT_EQ(view->dtype, dtype) << name;
    EXPECT_THAT(view->shape, ElementsAre(2, 3)) << name;
    EXPECT_EQ(view->bytes.size(), 6 * dtype_size(dtype)) << name;
  }
  EXPECT_THAT(elements<float>(*archive.find("float")), ElementsAre(0, 0.25, 0.5, 0.75, 1, 1.25));
  EXPECT_THAT(elements<int16_t>(*archive.find("short")), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(archive.find("bool")->dtype, DType::kBool);
  EXPECT_THAT(elements<float>(*archive.find("scalar")), ElementsAre(2.5));
  EXPECT_TRUE(archive.find("none")->bytes.empty());
  EXPECT_THAT(elements<float>(*archive.find("parameter")), ElementsAre(0, 0.25, 0.5));
  EXPECT_EQ(archive.find("tied")->bytes.data(), archive.find("float")->bytes.data());
}

TEST(TorchArchive, ReleasesNothingButMappedPages) {
  // Copies of strided tensors lie in ordinary memory, which would be zero after it.
  const TensorArchive archive = open_torch_archive(weights_data("state.pth"));
  for (const std::string& name : archive.names()) {
    const TensorView& view = *archive.find(name);
    const std::vector<std::byte> before(view.bytes.begin(), view.bytes.end());
    archive.release(view.bytes);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), view.bytes.begin())) << name;
  }
}

TEST(TorchArchive, PutsStridedTensorsInRowMajorOrder) {
  const TensorArchive archive = open_torch_archive(weights_data("state.pth"));
  EXPECT_THAT(archive.find("transposed")->shape, ElementsAre(3, 2));
  EXPECT_THAT(elements<float>(*archive.find("transposed")), ElementsAre(0, 0.75, 0.25, 1, 0.5, 1.25));
  EXPECT_THAT(elements<float>(*archive.find("slice")), ElementsAre(0.75, 1, 1.25, 1.5, 1.75, 2));
  EXPECT_THAT(elements<float>(*archive.find("column")), ElementsAre(0.25, 1, 1.75, 2.5));
  EXPECT_THAT(elements<float>(*archive.find("channels_last")),
              ElementsAre(0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75));
}

TEST(TorchArchive, LooksIntoAWrappedStateDict) {
  EXPECT_THAT(open_torch_archive(weights_data("wrapped.pth")).names(), ElementsAre("w"));
}

TEST(TorchArchive, ReadsAHandMadeFile) {
  EXPECT_THAT(elements<float>(*open_torch_archive(weights_data("by_hand.pth")).find("w")),
              ElementsAre(0, 0.25));
}

/// File, what the message must say.
class BadTorchArchive : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(BadTorchArchive, IsRefusedWithAReason) {
  const auto [file, reason] = GetParam();
  const std::string path = weights_data(file);
  EXPECT_THAT(input_error([&] { open_torch_archive(path); }), AllOf(HasSubstr(path), HasSubstr(reason)));
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadTorchArchive,
    ::testing::Values(
        // Python inside, or something else than a state dict.
        std::pair("evil.pth", "system'"), std::pair("evil.pth", "nothing in this file is executed"),
        std::pair("torchscript.pth", "'__torch__.net.Net'"), std::pair("protocol4.pth", "protocol 4"),
        std::pair("legacy.pth", "torch.save(torch.load"), std::pair("list.pth", "isn't a state dict"),
        std::pair("not_only_tensors.pth", "'epoch' isn't a tensor"),
        std::pair("self_reference.pth", "'w' isn't a tensor"), std::pair("deep.pth", "'w' isn't a tensor"),
        // Zips.
        std::pair("compressed.pth", "compressed entry"), std::pair("truncated.pth", "cut short"),
        std::pair("directory_outside.pth", "out of place"),
        std::pair("entries_overlap.pth", "called otherwise"), std::pair("big_endian.pth", "'big'"),
        std::pair("no_pickle.pth", "no data.pkl"), std::pair("two_objects.pth", "two saved objects"),
        std::pair("make_data.py", "isn't a file of torch.save"),
        // Numbers.
        std::pair("missing_storage.pth", "'0', which is missing"),
        std::pair("short_storage.pth", "another size"), std::pair("offset_outside.pth", "beyond its storage"),
        std::pair("offset_negative.pth", "outside of its"),
        std::pair("stride_outside.pth", "beyond its storage"),
        std::pair("stride_negative.pth", "beyond its storage"),
        std::pair("size_huge.pth", "beyond its storage"), std::pair("sizes_overflow.pth", "too large"),
        std::pair("size_negative.pth", "too large"), std::pair("rank_mismatch.pth", "damaged"),
        std::pair("numel_huge.pth", "another size"), std::pair("expanded.pth", "expanded"),
        // Pickles.
        std::pair("no_stop.pth", "too early"), std::pair("empty_stack.pth", "damaged pickle"),
        std::pair("twice.pth", "two tensors named 'w'"), std::pair("unicode_huge.pth", "too early"),
        std::pair("build_on_tensor.pth", "damaged pickle")));

TEST(TorchArchive, LeavesNoTraceOfWhatAFileWantedToRun) {
  input_error([] { open_torch_archive(weights_data("evil.pth")); });
  EXPECT_FALSE(std::filesystem::exists("latentcast-was-here"));
}

TEST(TorchArchive, IsRefusedWhereverItIsCut) {
  std::ifstream in(weights_data("state.pth"), std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  ASSERT_GT(whole.size(), 1000U);
  for (size_t size = 1; size < whole.size(); ++size) {
    const auto part = std::as_bytes(std::span(whole)).first(size);
    EXPECT_THROW(parse_torch_archive(part, "part"), InputError) << size;
  }
}

}  // namespace
}  // namespace latentcast
