#include "latentcast/weights/checkpoint_source.h"

#include <utility>

#include "weights/weights_test_support.h"
#include <ATen/ATen.h>

#include "latentcast/weights/safetensors.h"
#include "latentcast/weights/torch_archive.h"

namespace latentcast {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::shared_ptr<const TensorArchive> open(const std::string& file) {
  return std::make_shared<const TensorArchive>(open_archive(weights_data(file)));
}

CheckpointSource source_of(const std::string& file, at::ScalarType dtype = at::kFloat,
                           std::string prefix = "") {
  return {open(file), dtype, at::kCPU, std::move(prefix)};
}

TEST(CheckpointSource, GivesTensorsInItsType) {
  for (const char* name : {"f32", "f16", "bf16"}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
      CheckpointSource source = source_of("all_types.safetensors", dtype);
      const at::Tensor tensor = source.take(name, {2, 3});
      EXPECT_EQ(tensor.scalar_type(), dtype);
      EXPECT_TRUE(tensor.is_contiguous());
      EXPECT_TRUE(at::equal(tensor.to(at::kFloat), at::arange(6).reshape({2, 3}).to(at::kFloat) / 4)) << name;
      EXPECT_EQ(source.take_float(name, {2, 3}).scalar_type(), at::kFloat);
    }
  }
}

TEST(CheckpointSource, KnowsShapes) {
  const CheckpointSource source = source_of("all_types.safetensors");
  EXPECT_THAT(source.shape("f32"), ElementsAre(2, 3));
  EXPECT_TRUE(source.has("f32"));
  EXPECT_FALSE(source.has("f33"));
  EXPECT_THAT(input_error([&] { source.shape("f33"); }),
              AllOf(HasSubstr("'f33'"), HasSubstr("all_types.safetensors"), HasSubstr("missing")));
}

TEST(CheckpointSource, RefusesMissingWrongShapeAndWrongType) {
  CheckpointSource source = source_of("all_types.safetensors");
  EXPECT_THAT(input_error([&] {
                source.take("f33", {2, 3});
              }),
              AllOf(HasSubstr("'f33'"), HasSubstr("missing")));
  EXPECT_THAT(input_error([&] {
                source.take("f32", {3, 2});
              }),
              AllOf(HasSubstr("'f32'"), HasSubstr("[2, 3]"), HasSubstr("[3, 2]"), HasSubstr("all_types")));
  for (const char* name : {"f64", "i64", "u8", "f8_e4m3"}) {
    EXPECT_THAT(input_error([&] {
                  source.take(name, {2, 3});
                }),
                AllOf(HasSubstr("'" + std::string(name) + "'"), HasSubstr("F32, F16 or BF16")));
  }
}

TEST(CheckpointSource, UsesTheMappingWhereItCanAndKeepsIt) {
  std::shared_ptr<const TensorArchive> archive = open("aligned.safetensors");
  const void* const place = archive->find("a")->bytes.data();
  const std::weak_ptr<const TensorArchive> watch = archive;
  auto source = std::make_unique<CheckpointSource>(archive, at::kFloat, at::kCPU);
  at::Tensor mapped = source->take("a", {4, 4});
  const at::Tensor converted = source->take("b.weight", {4, 8});
  EXPECT_EQ(mapped.data_ptr(), place);
  archive.reset();
  source.reset();
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(mapped[3][3].item<float>(), 3.75F);
  mapped.reset();
  EXPECT_TRUE(watch.expired()) << "a converted tensor still holds the file";
  EXPECT_EQ(converted[0][1].item<float>(), 0.25F);
}

TEST(CheckpointSource, CopiesWhatIsntAligned) {
  const auto archive = open("all_types.safetensors");
  CheckpointSource source(archive, at::kFloat, at::kCPU);
  const at::Tensor tensor = source.take("f32", {2, 3});
  EXPECT_NE(tensor.data_ptr(), archive->find("f32")->bytes.data());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 64, 0U);
}

TEST(CheckpointSource, GivesScalarsAndEmptyTensors) {
  CheckpointSource source = source_of("all_types.safetensors");
  EXPECT_EQ(source.take("scalar", {}).item<float>(), 2.5F);
  EXPECT_EQ(source.take("none", {0, 4}).numel(), 0);
}

TEST(CheckpointSource, PutsThePrefixInFront) {
  CheckpointSource source = source_of("base.pth", at::kFloat, "fc.");
  EXPECT_TRUE(source.has("weight"));
  source.take("weight", {6, 4});
  EXPECT_THAT(input_error([&] { source.take("gone", {6}); }), HasSubstr("'fc.gone'"));
  EXPECT_THAT(input_error([&] { source.finish({"out.*"}); }),
              AllOf(HasSubstr("fc.bias"), Not(HasSubstr("out"))));
  source.take("bias", {6});
  source.finish({"out.*"});
}

TEST(CheckpointSource, ListsWhatWasLeftOver) {
  CheckpointSource source = source_of("base.pth");
  EXPECT_THAT(
      input_error([&] { source.finish({}); }),
      AllOf(HasSubstr("base.pth"), HasSubstr("fc.bias"), HasSubstr("fc.weight"), HasSubstr("out.weight")));
  EXPECT_THAT(input_error([&] { source.finish({"fc.*"}); }),
              AllOf(HasSubstr("out.weight"), Not(HasSubstr("fc."))));
  EXPECT_THAT(input_error([&] { source.finish({"fc.*", "out"}); }), HasSubstr("out.weight"));
  source.finish({"fc.*", "out.weight"});
  source.finish({"*"});
}

}  // namespace
}  // namespace latentcast
