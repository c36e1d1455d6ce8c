#include "latentcast/weights/safetensors.h"

#include <cstdint>

#include "weights/weights_test_support.h"

#include "latentcast/weights/torch_archive.h"

namespace latentcast {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A file with this header and `data` bytes behind it.
std::string file_with(const std::string& header, size_t data, uint64_t length) {
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + std::string(data, 'x');
}
std::string file_with(const std::string& header, size_t data) {
  return file_with(header, data, header.size());
}

TensorArchive parse(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file)), "file.x");
}

std::string refusal(const std::string& file) {
  return input_error([&] { parse(file); });
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& at) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + at + "}";
}

TEST(Safetensors, ReadsEveryType) {
  const TensorArchive archive = open_safetensors(weights_data("all_types.safetensors"));
  EXPECT_EQ(archive.size(), 13U);
  for (const char* name : {"f64", "f32", "f16", "bf16", "f8_e4m3", "i64", "i32", "i16", "i8", "u8"}) {
    const TensorView* const view = archive.find(name);
    ASSERT_NE(view, nullptr) << name;
    EXPECT_THAT(view->shape, ElementsAre(2, 3));
    EXPECT_EQ(view->bytes.size(), 6 * dtype_size(view->dtype));
    EXPECT_EQ(view->file, weights_data("all_types.safetensors"));
  }
  EXPECT_THAT(elements<float>(*archive.find("f32")), ElementsAre(0, 0.25, 0.5, 0.75, 1, 1.25));
  EXPECT_THAT(elements<int64_t>(*archive.find("i64")), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(elements<float>(*archive.find("scalar")), ElementsAre(2.5));
  EXPECT_TRUE(archive.find("scalar")->shape.empty());
  EXPECT_TRUE(archive.find("none")->bytes.empty());
  EXPECT_THAT(archive.find("none")->shape, ElementsAre(0, 4));
  EXPECT_EQ(archive.find("f"), nullptr);
}

TEST(Safetensors, ReadsShardsByTheirIndex) {
  const TensorArchive archive = open_safetensors_folder(weights_data("sharded"), "model");
  EXPECT_THAT(archive.names(), ElementsAre("x.weight", "y.bias", "y.weight"));
  EXPECT_THAT(elements<float>(*archive.find("x.weight")), ElementsAre(0, 0.25, 0.5, 0.75));
  EXPECT_THAT(archive.find("y.bias")->file, HasSubstr("model-00002-of-00002.safetensors"));
}

TEST(Safetensors, TakesASingleFileWhereThereIsNoIndex) {
  EXPECT_EQ(open_safetensors_folder(weights_data("."), "aligned").size(), 2U);
  EXPECT_THAT(input_error([] { open_safetensors_folder(weights_data("."), "nothing"); }),
              AllOf(HasSubstr("nothing.safetensors.index.json"), HasSubstr("nothing.safetensors'")));
}

TEST(Safetensors, RefusesAnIndexThatItsShardsDontMeet) {
  const auto refused = [](const std::string& stem) {
    return input_error([&] { open_safetensors_folder(weights_data("sharded"), stem); });
  };
  EXPECT_THAT(refused("missing_shard"),
              AllOf(HasSubstr("model-00003-of-00002.safetensors"), HasSubstr("missing")));
  EXPECT_THAT(refused("missing_tensor"), AllOf(HasSubstr("'z'"), HasSubstr("model-00001")));
  EXPECT_THAT(refused("outside"), HasSubstr("../all_types.safetensors"));
  EXPECT_THAT(refused("no_map"), HasSubstr("weight_map"));
}

TEST(Safetensors, RefusesImpossibleHeaderLengths) {
  EXPECT_THAT(refusal("short"), HasSubstr("too short"));
  EXPECT_THAT(refusal(file_with("{}", 0, uint64_t{1} << 63)), HasSubstr("isn't a safetensors file"));
  EXPECT_THAT(refusal(file_with("{}", 0, UINT64_MAX)), HasSubstr("isn't a safetensors file"));
  EXPECT_THAT(refusal(file_with("{}", 0, 100'000'001)), HasSubstr("isn't a safetensors file"));
  EXPECT_THAT(refusal(file_with("{}", 0, 3)), HasSubstr("ends within its header"));
  EXPECT_THAT(refusal(file_with("{}", 0, 0)), HasSubstr("isn't a JSON object"));
  EXPECT_THAT(refusal(file_with("[]", 0)), HasSubstr("isn't a JSON object"));
}

TEST(Safetensors, RefusesHeadersThatArentOne) {
  EXPECT_THAT(refusal(file_with("{\"a\":", 0)), AllOf(HasSubstr("JSON"), HasSubstr("file.x")));
  EXPECT_THAT(refusal(file_with("{} {}", 0)), HasSubstr("JSON"));
  EXPECT_THAT(refusal(file_with("{\"\xff\":1}", 0)), HasSubstr("JSON"));
  EXPECT_THAT(refusal(file_with("{\"a\":1}", 0)), HasSubstr("'a'"));
  EXPECT_THAT(refusal(file_with("{\"a\":[1]}", 0)), HasSubstr("'a'"));
  EXPECT_THAT(refusal(file_with("{\"a\":" + std::string(50'000, '['), 0)), HasSubstr("'a'"));
  EXPECT_THAT(refusal(file_with("{\"__metadata__\":{\"k\":{}}}", 0)), HasSubstr("belong"));
  EXPECT_THAT(refusal(file_with("{\"a\":{\"dtype\":\"U8\",\"shape\":[0]}}", 0)), HasSubstr("missing"));
  EXPECT_THAT(refusal(file_with("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}", 0)), HasSubstr("twice"));
  EXPECT_THAT(refusal(file_with("{\"a\":{\"dtype\":\"U8\",\"shape\":[[1]]}}", 0)), HasSubstr("belong"));
  const std::string a = tensor("a", "U8", "[0]", "[0,0]");
  EXPECT_THAT(refusal(file_with("{" + a + "," + a + "}", 0)), HasSubstr("two tensors named 'a'"));
}

TEST(Safetensors, RefusesTypesAndShapesThatItCantUse) {
  EXPECT_THAT(refusal(file_with("{" + tensor("a", "F4", "[1]", "[0,1]") + "}", 1)), HasSubstr("'F4'"));
  EXPECT_THAT(refusal(file_with("{" + tensor("a", "U8", "[-1]", "[0,1]") + "}", 1)), HasSubstr("'a'"));
  EXPECT_THAT(refusal(file_with("{" + tensor("a", "U8", "[1.0]", "[0,1]") + "}", 1)), HasSubstr("'a'"));
  EXPECT_THAT(refusal(file_with("{" + tensor("a", "U8", "[18446744073709551615]", "[0,1]") + "}", 1)),
              HasSubstr("too large"));
  const std::string big = "4611686018427387904";
  EXPECT_THAT(refusal(file_with("{" + tensor("a", "U8", "[" + big + ",4]", "[0,1]") + "}", 1)),
              HasSubstr("too large"));
  EXPECT_THAT(refusal(file_with("{" + tensor("a", "F64", "[" + big + "]", "[0,1]") + "}", 1)),
              HasSubstr("too large"));
  EXPECT_THAT(refusal(file_with("{" + tensor("a", "U8", "[" + big + "," + big + ",0]", "[0,0]") + "}", 0)),
              HasSubstr("too large"));
  EXPECT_THAT(
      refusal(file_with("{" + tensor("a", "U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]") + "}", 1)),
      HasSubstr("dimensions"));
}

TEST(Safetensors, RefusesOffsetsThatDontFit) {
  EXPECT_THAT(refusal(file_with("{" + tensor("a", "F32", "[2]", "[0,4]") + "}", 4)),
              AllOf(HasSubstr("8 bytes"), HasSubstr("[2]"), HasSubstr("F32")));
  EXPECT_THAT(refusal(file_with("{" + tensor("a", "U8", "[2]", "[0,2]") + "}", 1)),
              HasSubstr("ends too early"));
  EXPECT_THAT(refusal(file_with("{" + tensor("a", "U8", "[2]", "[4,2]") + "}", 4)),
              HasSubstr("before it begins"));
  EXPECT_THAT(refusal(file_with("{" + tensor("a", "U8", "[1]", "[18446744073709551615,0]") + "}", 1)),
              HasSubstr("before it begins"));
  EXPECT_THAT(refusal(file_with("{" + tensor("a", "U8", "[1]", "[0]") + "}", 1)), HasSubstr("two numbers"));
  EXPECT_THAT(refusal(file_with("{" + tensor("a", "U8", "[1]", "[0,1,1]") + "}", 1)), HasSubstr("'a'"));
  const std::string a = tensor("a", "U8", "[2]", "[0,2]");
  EXPECT_THAT(refusal(file_with("{" + a + "," + tensor("b", "U8", "[2]", "[1,3]") + "}", 3)),
              HasSubstr("overlaps"));
  EXPECT_THAT(refusal(file_with("{" + a + "," + tensor("b", "U8", "[2]", "[3,5]") + "}", 5)),
              HasSubstr("gap"));
  EXPECT_THAT(refusal(file_with("{" + a + "}", 3)), HasSubstr("1 bytes at its end"));
}

TEST(Safetensors, AcceptsWhatTheFormatAllows) {
  EXPECT_EQ(parse(file_with("{}", 0)).size(), 0U);
  EXPECT_EQ(parse(file_with("{\"__metadata__\":{\"k\":\"v\"}}   ", 0)).size(), 0U);
  const std::string b = tensor("b", "U8", "[2]", "[0,2]");
  EXPECT_EQ(parse(file_with("{" + tensor("a", "U8", "[1]", "[2,3]") + "," + b + "}", 3)).size(), 2U);
}

TEST(OpenArchive, TellsFormatsApartByContent) {
  EXPECT_EQ(open_archive(weights_data("all_types.safetensors")).size(), 13U);
  EXPECT_EQ(open_archive(weights_data("small.pth")).size(), 1U);
  EXPECT_THAT(input_error([] { open_archive(weights_data("make_data.py")); }), HasSubstr("neither"));
  EXPECT_THAT(input_error([] { open_archive(weights_data("legacy.pth")); }),
              HasSubstr("torch.save(torch.load"));
}

}  // namespace
}  // namespace latentcast
