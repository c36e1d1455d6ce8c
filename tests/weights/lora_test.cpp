#include "latentcast/weights/lora.h"

#include "weights/weights_test_support.h"
#include <ATen/ATen.h>

#include "latentcast/weights/checkpoint_source.h"
#include "latentcast/weights/torch_archive.h"

namespace latentcast {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::shared_ptr<const TensorArchive> open(const std::string& file) {
  return std::make_shared<const TensorArchive>(open_archive(weights_data(file)));
}

std::shared_ptr<const LoraAdapter> adapter(const std::string& file,
                                           std::optional<double> alpha = std::nullopt) {
  return std::make_shared<const LoraAdapter>(open(file), alpha);
}

/// base.pth's fc.weight + scale * B * A, computed in double.
at::Tensor expected(double scale) {
  CheckpointSource base(open("base.pth"), at::kFloat, at::kCPU);
  CheckpointSource lora(open("lora.safetensors"), at::kFloat, at::kCPU);
  const at::Tensor a = lora.take("fc.lora_A.default.weight", {2, 4}).to(at::kDouble);
  const at::Tensor b = lora.take("fc.lora_B.default.weight", {6, 2}).to(at::kDouble);
  return base.take("fc.weight", {6, 4}).to(at::kDouble) + scale * at::mm(b, a);
}

at::Tensor merged(const std::shared_ptr<const LoraAdapter>& lora, at::ScalarType dtype = at::kFloat) {
  CheckpointSource source(open("base.pth"), dtype, at::kCPU);
  source.set_lora(lora);
  return source.take("fc.weight", {6, 4});
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b).abs().max().item<double>();
}

TEST(Lora, IsAddedToItsWeight) {
  EXPECT_LT(difference(merged(adapter("lora.safetensors")), expected(0.5)), 1e-6)
      << "alpha is rank / 2 by default";
  EXPECT_LT(difference(merged(adapter("lora.safetensors", 4.0)), expected(2)), 1e-6);
  EXPECT_GT(difference(merged(adapter("lora.safetensors", 4.0)), expected(0.5)), 0.1);
}

TEST(Lora, MayHaveThePrefixOfTheTrainingLibrary) {
  EXPECT_THAT(adapter("lora_prefix.safetensors")->targets(), ElementsAre("fc"));
  EXPECT_LT(difference(merged(adapter("lora_prefix.safetensors")), expected(0.5)), 1e-6);
}

TEST(Lora, TakesAlphaFromItsFileUnlessTold) {
  EXPECT_LT(difference(merged(adapter("lora_alpha.safetensors")), expected(3)), 1e-6);
  EXPECT_LT(difference(merged(adapter("lora_pair_alpha.safetensors")), expected(1.5)), 1e-6);
  EXPECT_LT(difference(merged(adapter("lora_alpha.safetensors", 1.0)), expected(0.5)), 1e-6);
  EXPECT_LT(difference(merged(adapter("lora_pair_alpha.safetensors", 1.0)), expected(0.5)), 1e-6);
}

TEST(Lora, IsRoundedOnce) {
  const at::Tensor exact = merged(adapter("lora.safetensors"));
  EXPECT_TRUE(at::equal(merged(adapter("lora.safetensors"), at::kBFloat16), exact.to(at::kBFloat16)));
}

TEST(Lora, LeavesOtherTensorsAlone) {
  CheckpointSource with(open("base.pth"), at::kFloat, at::kCPU);
  with.set_lora(adapter("lora.safetensors"));
  CheckpointSource without(open("base.pth"), at::kFloat, at::kCPU);
  EXPECT_TRUE(at::equal(with.take("fc.bias", {6}), without.take("fc.bias", {6})));
  EXPECT_TRUE(at::equal(with.take("out.weight", {3, 6}), without.take("out.weight", {3, 6})));
}

TEST(Lora, MustBeUsedUp) {
  CheckpointSource source(open("base.pth"), at::kFloat, at::kCPU);
  source.set_lora(adapter("lora.safetensors"));
  EXPECT_THAT(input_error([&] { source.finish({"*"}); }),
              AllOf(HasSubstr("'fc'"), HasSubstr("lora.safetensors")));
  source.take("fc.weight", {6, 4});
  source.finish({"*"});
  source.set_lora(adapter("lora_other_model.safetensors"));
  EXPECT_THAT(input_error([&] { source.finish({"*"}); }), HasSubstr("'gone'"));
}

TEST(Lora, RefusesFilesThatDontAddUp) {
  EXPECT_THAT(input_error([] { adapter("lora_half.safetensors"); }),
              AllOf(HasSubstr("'fc'"), HasSubstr("lora_B")));
  EXPECT_THAT(input_error([] { adapter("lora_ranks.safetensors"); }),
              AllOf(HasSubstr("[2, 4]"), HasSubstr("[6, 3]")));
  EXPECT_THAT(input_error([] { adapter("lora_unknown.safetensors"); }), HasSubstr("'fc.dora'"));
  EXPECT_THAT(input_error([] { adapter("base.pth"); }), HasSubstr("isn't part of a LoRA"));
  EXPECT_THAT(input_error([] { merged(adapter("lora_other_shape.safetensors")); }),
              AllOf(HasSubstr("[6, 5]"), HasSubstr("[6, 4]")));
}

}  // namespace
}  // namespace latentcast
