// Parts of tensors, and changes of parts of weights, must have the bits of the whole.
#include <algorithm>
#include <span>

#include "weights/weights_test_support.h"
#include <ATen/ATen.h>

#include "latentcast/weights/checkpoint_source.h"
#include "latentcast/weights/safetensors.h"
#include "latentcast/weights/safetensors_writer.h"

namespace latentcast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kRows = 3 * LoraAdapter::kBlockRows - 100, kWidth = 37, kRank = 16;

class PartialReads : public ::testing::Test {
 protected:
  PartialReads() {
    SafetensorsWriter base(folder_.file("base.safetensors"));
    add(base, "fc.weight", {kRows, kWidth});
    add(base, "half.weight", {kRows, kWidth}, at::kBFloat16);
    add(base, "fc.bias", {kRows});
    base.close();
    SafetensorsWriter lora(folder_.file("lora.safetensors"));
    for (const std::string name : {"fc", "half"}) {
      add(lora, name + ".lora_A.weight", {kRank, kWidth});
      add(lora, name + ".lora_B.weight", {kRows, kRank});
    }
    lora.close();
  }

  CheckpointSource source(at::ScalarType dtype, bool with_lora) const {
    CheckpointSource source(open("base.safetensors"), dtype, at::kCPU);
    if (with_lora) source.set_lora(adapter());
    return source;
  }

  std::shared_ptr<const LoraAdapter> adapter() const {
    return std::make_shared<const LoraAdapter>(open("lora.safetensors"));
  }

  std::shared_ptr<const TensorArchive> open(const std::string& name) const {
    return std::make_shared<const TensorArchive>(open_safetensors(folder_.file(name)));
  }

 private:
  static void add(SafetensorsWriter& writer, const std::string& name, std::vector<int64_t> shape,
                  at::ScalarType dtype = at::kFloat) {
    const at::Tensor values = at::randn(shape).to(dtype);
    writer.add(name, dtype == at::kFloat ? DType::kF32 : DType::kBF16, shape,
               {static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()});
  }

  TemporaryFolder folder_;
};

bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.nbytes() == b.nbytes() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

TEST_F(PartialReads, OfAnyRangeHaveTheBitsOfTheWhole) {
  // Begins and lengths that fall on, before and after rows and blocks of rows.
  const int64_t block = LoraAdapter::kBlockRows * kWidth, end = kRows * kWidth;
  const std::vector<int64_t> cuts = {0,  64, kWidth, block - 64, block, block + kWidth + 1, 2 * block + 5,
                                     end};
  for (const bool lora : {false, true}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      for (const std::string name : {"fc.weight", "half.weight"}) {
        CheckpointSource from = source(dtype, lora);
        const at::Tensor whole = from.take(name, {kRows, kWidth}).flatten();
        for (const int64_t first : cuts) {
          for (const int64_t last : cuts) {
            if (last < first) continue;
            const at::Tensor part = at::empty({last - first}, whole.options());
            from.copy_range(name, {kRows, kWidth}, first, part);
            ASSERT_TRUE(same_bytes(part, whole.narrow(0, first, last - first).contiguous()))
                << name << " " << first << " to " << last << (lora ? " with LoRA" : "");
          }
        }
      }
    }
  }
}

TEST_F(PartialReads, CountAsUsed) {
  CheckpointSource from = source(at::kFloat, true);
  const at::Tensor to = at::empty({1});
  from.copy_range("fc.weight", {kRows, kWidth}, 5, to);
  from.copy_range("fc.bias", {kRows}, 5, to);
  EXPECT_THAT(input_error([&] { from.finish({}); }), HasSubstr("'half.weight'"));
  from.copy_range("half.weight", {kRows, kWidth}, 5, to);
  from.finish({});
}

TEST_F(PartialReads, RefuseWrongShapesAndRanges) {
  CheckpointSource from = source(at::kFloat, true);
  const at::Tensor to = at::empty({2});
  EXPECT_THAT(input_error([&] {
                from.copy_range("fc.weight", {kWidth, kRows}, 0, to);
              }),
              AllOf(HasSubstr("'fc.weight'"), HasSubstr("the model needs")));
  EXPECT_THAT(input_error([&] { from.copy_range("gone", {2}, 0, to); }), HasSubstr("missing"));
  EXPECT_THROW(from.copy_range("fc.bias", {kRows}, kRows - 1, to), InternalError);
  EXPECT_THROW(from.copy_range("fc.bias", {kRows}, -1, to), InternalError);
}

TEST_F(PartialReads, OfALoraAreRowsOfTheWhole) {
  const auto lora = adapter();
  const std::vector<int64_t> shape = {kRows, kWidth};
  const at::Tensor whole = lora->delta("fc", shape, at::kCPU);
  for (int64_t first = 0; first < 3; ++first) {
    for (int64_t last = first; last <= 3; ++last) {
      const at::Tensor rows = lora->delta_rows("fc", shape, first, last, at::kCPU);
      const int64_t begin = first * LoraAdapter::kBlockRows;
      const int64_t end = std::max(begin, std::min(last * LoraAdapter::kBlockRows, kRows));
      ASSERT_TRUE(same_bytes(rows, whole.narrow(0, begin, end - begin))) << first << " to " << last;
    }
  }
  const auto pair = open("lora.safetensors");
  CheckpointSource from(pair, at::kFloat, at::kCPU);
  const at::Tensor exact = at::mm(from.take("fc.lora_B.weight", {kRows, kRank}).to(at::kDouble),
                                  from.take("fc.lora_A.weight", {kRank, kWidth}).to(at::kDouble)) /
                           2;
  EXPECT_LT((whole - exact).abs().max().item<double>(), 1e-5);
  EXPECT_THROW(lora->delta_rows("fc", shape, 2, 1, at::kCPU), InternalError);
}

}  // namespace
}  // namespace latentcast
