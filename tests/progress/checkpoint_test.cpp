#include "checkpoint_test_support.h"

namespace latentcast::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
namespace fs = std::filesystem;

class Checkpoints : public ::testing::Test {
 protected:
  Checkpoints() : paths(folder.path() / "run") { fs::create_directories(paths.root); }
  TemporaryFolder folder;
  RunPaths paths;
};

class StoredTypes : public ::testing::TestWithParam<at::ScalarType> {};

/// Every bit pattern must come back, also those that are no numbers.
at::Tensor all_bits(at::ScalarType type) {
  const int64_t bytes = static_cast<int64_t>(c10::elementSize(type));
  const int64_t count = bytes == 1 ? 256 : 1 << 16;
  const at::Tensor tensor = at::empty({count / 16, 16}, at::TensorOptions(type));
  auto* next = static_cast<uint8_t*>(tensor.data_ptr());
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t byte = 0; byte < bytes; ++byte) {
      *next++ =
          static_cast<uint8_t>(type == at::kBool ? i & 1 : (i * (byte > 1 ? 40503 : 1)) >> (8 * (byte % 2)));
    }
  }
  return tensor;
}

TEST_P(StoredTypes, KeepEveryBit) {
  const TemporaryFolder folder;
  const RunPaths paths(folder.path());
  const at::Tensor written = all_bits(GetParam());
  begin_checkpoint(paths, 1);
  CheckpointFileWriter writer(paths, 1, CheckpointPart::render());
  writer.add("group/tensor", written);
  publish_checkpoint(paths, sample_manifest(1, sample_segments(paths, 1), {writer.close()}));

  const CheckpointReader reader(paths.checkpoint(1));
  reader.verify();
  const at::Tensor back = reader.read(CheckpointPart::render(), "group/tensor");
  EXPECT_EQ(back.scalar_type(), GetParam());
  EXPECT_EQ(back.sizes(), written.sizes());
  EXPECT_EQ(std::memcmp(back.const_data_ptr(), written.const_data_ptr(), written.nbytes()), 0);
  const at::Tensor target = at::empty_like(written);
  reader.read_into(CheckpointPart::render(), "group/tensor", target);
  EXPECT_EQ(std::memcmp(target.const_data_ptr(), written.const_data_ptr(), written.nbytes()), 0);
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, StoredTypes,
                         ::testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf,
                                           at::kFloat8_e4m3fn, at::kFloat8_e5m2, at::kByte, at::kBool,
                                           at::kChar, at::kShort, at::kInt, at::kLong),
                         [](const auto& info) { return std::string(c10::toString(info.param)); });

TEST_F(Checkpoints, KeepShapesOfAllRanksAndSizes) {
  begin_checkpoint(paths, 1);
  CheckpointFileWriter writer(paths, 1, CheckpointPart::render());
  const at::Tensor scalar = at::full({}, 2.5), empty = at::empty({3, 0, 2}), big = at::rand({700, 1001});
  writer.add("scalar", scalar);
  writer.add("empty", empty);
  writer.add("big", big);
  writer.add("deep/er/still", at::rand({1, 2, 3, 4, 5, 6}));
  writer.add_number("count", -7);
  publish_checkpoint(paths, sample_manifest(1, sample_segments(paths, 1), {writer.close()}));

  const CheckpointReader reader(paths.checkpoint(1));
  const CheckpointPart part = CheckpointPart::render();
  EXPECT_TRUE(at::equal(reader.read(part, "scalar"), scalar));
  EXPECT_EQ(reader.read(part, "empty").sizes(), at::IntArrayRef({3, 0, 2}));
  EXPECT_TRUE(at::equal(reader.read(part, "big"), big));
  EXPECT_EQ(reader.number(part, "count"), -7);
  EXPECT_THAT(reader.names(part), ElementsAre("big", "deep/er/still", "empty", "scalar"));
  EXPECT_THAT(failure([&] { reader.read(part, "none"); }),
              AllOf(StartsWith("64: "), HasSubstr("lacks none")));
  EXPECT_THAT(failure([&] {
                reader.read_into(part, "big", at::empty({1001, 700}));
              }),
              AllOf(StartsWith("64: "), HasSubstr("[700, 1001]"), HasSubstr("[1001, 700]")));
  EXPECT_THAT(failure([&] {
                reader.read_into(part, "big", at::empty({700, 1001}, at::kInt));
              }),
              HasSubstr("float32"));
}

TEST_F(Checkpoints, OnlyTakeContiguousTensorsOfTheHost) {
  begin_checkpoint(paths, 1);
  CheckpointFileWriter writer(paths, 1, CheckpointPart::render());
  EXPECT_THAT(failure([&] { writer.add("turned", at::rand({3, 4}).t()); }), StartsWith("70: "));
  EXPECT_THAT(failure([&] { writer.add("undefined", {}); }), StartsWith("70: "));
}

TEST_F(Checkpoints, AreFoundByContent) {
  write_checkpoint(paths, 4);
  EXPECT_EQ(failure([&] { read_checkpoint(paths, 4); }), "nothing");
  const CheckpointReader reader(paths.checkpoint(4));
  EXPECT_EQ(reader.holding(1, 2), CheckpointPart::of_timestep(1, 1, 3));
  EXPECT_EQ(reader.holding(1, 2).file_name(), "timestep-1.layers-1-2.h5");
  EXPECT_THAT(failure([&] { reader.holding(2, 0); }), HasSubstr("no cache of timestep 2"));
  EXPECT_EQ(reader.manifest().layout, "{\"pipelines\": 1}");
  EXPECT_EQ(reader.manifest().segments.size(), 4u);
  // Each rank may verify a share; a damaged file is in one of them.
  flip(paths.checkpoint(4) / "decoder.h5", 3000);
  int refused = 0;
  for (int share = 0; share < 3; ++share) {
    refused += failure([&] { reader.verify(share, 3); }) == "nothing" ? 0 : 1;
  }
  EXPECT_EQ(refused, 1);
}

TEST_F(Checkpoints, TheNewestTwoAreKeptAndUnfinishedOnesSwept) {
  EXPECT_THAT(checkpoint_positions(paths), IsEmpty());
  for (const int64_t position : {2, 5, 8}) write_checkpoint(paths, position);
  EXPECT_THAT(checkpoint_positions(paths), ElementsAre(8, 5));
  fs::create_directories(paths.checkpoint_part(9));
  fs::create_directories(paths.checkpoint(5).string() + ".old");
  fs::create_directories(paths.checkpoints() / "clip-7x");
  EXPECT_THAT(checkpoint_positions(paths), ElementsAre(8, 5));
  begin_checkpoint(paths, 11);
  EXPECT_FALSE(fs::exists(paths.checkpoint_part(9)));
  EXPECT_FALSE(fs::exists(paths.checkpoint(5).string() + ".old"));
  EXPECT_EQ(failure([&] { read_checkpoint(paths, 8); }), "nothing");
  EXPECT_EQ(failure([&] { read_checkpoint(paths, 5); }), "nothing");
}

TEST_F(Checkpoints, ReplaceOneOfTheSamePosition) {
  write_checkpoint(paths, 2);
  write_checkpoint(paths, 3);
  flip(paths.checkpoint(3) / "render.h5", 2100);
  write_checkpoint(paths, 3);  // a run that fell back to 2 comes by again
  EXPECT_EQ(failure([&] { read_checkpoint(paths, 3); }), "nothing");
  EXPECT_THAT(checkpoint_positions(paths), ElementsAre(3, 2));
}

TEST_F(Checkpoints, TheNewestUsableOneIsFound) {
  EXPECT_FALSE(find_checkpoint(paths, "the job").position);
  write_checkpoint(paths, 2);
  write_checkpoint(paths, 4);
  FoundCheckpoint found = find_checkpoint(paths, "the job");
  EXPECT_EQ(found.position, 4);
  EXPECT_THAT(found.notes, IsEmpty());

  found = find_checkpoint(paths, "the job", {{4, "decoder.h5 is damaged"}});
  EXPECT_EQ(found.position, 2);
  EXPECT_THAT(found.notes,
              ElementsAre(AllOf(HasSubstr("before clip 4"), HasSubstr("decoder.h5 is damaged"))));

  fs::remove(paths.checkpoint(4) / "decoder.h5");
  found = find_checkpoint(paths, "the job");
  EXPECT_EQ(found.position, 2);
  EXPECT_THAT(found.notes, ElementsAre(HasSubstr("decoder.h5 can't be read")));
  EXPECT_THAT(failure([&] { find_checkpoint(paths, "another job"); }),
              AllOf(StartsWith("64: "), HasSubstr("none of the checkpoints"),
                    HasSubstr("belongs to another job"), HasSubstr("remove the folder")));
}

TEST_F(Checkpoints, NeedTheSegmentsBeforeThem) {
  write_checkpoint(paths, 2);
  write_checkpoint(paths, 4);
  flip(paths.segments() / "3.ts", 2);
  const FoundCheckpoint found = find_checkpoint(paths, "the job");
  EXPECT_EQ(found.position, 2) << "from there clip 3 is rendered again";
  EXPECT_THAT(found.notes, ElementsAre(AllOf(HasSubstr("3.ts"), HasSubstr("has been changed"))));
  fs::remove(paths.segments() / "0.ts");
  EXPECT_THAT(failure([&] { find_checkpoint(paths, "the job"); }),
              AllOf(StartsWith("64: "), HasSubstr("0.ts is missing")));
}

TEST_F(Checkpoints, WithMissingLayersAreNotUsed) {
  begin_checkpoint(paths, 1);
  std::vector<CheckpointFile> files = write_parts(paths, 1);
  files.erase(files.begin() + 1);
  publish_checkpoint(paths, sample_manifest(1, sample_segments(paths, 1), files));
  EXPECT_THAT(failure([&] { find_checkpoint(paths, "the job"); }),
              HasSubstr("no cache of timestep 1, layer 0"));
}

TEST_F(Checkpoints, OfTheLightKindHoldLatentsAfterEachTimestep) {
  begin_checkpoint(paths, 1);
  std::vector<CheckpointPart> parts = {CheckpointPart::render()};
  for (int64_t timestep = 0; timestep < kTimesteps; ++timestep) {
    parts.push_back(CheckpointPart::latents_after(timestep));
  }
  std::vector<CheckpointFile> files;
  for (const CheckpointPart& part : parts) {
    CheckpointFileWriter writer(paths, 1, part);
    writer.add("latents", at::rand({16, 12, 8, 8}));
    files.push_back(writer.close());
  }
  CheckpointManifest manifest = sample_manifest(1, sample_segments(paths, 1), std::move(files));
  manifest.strength = CheckpointStrength::kLight;
  publish_checkpoint(paths, manifest);
  EXPECT_EQ(find_checkpoint(paths, "the job").position, 1);
  EXPECT_EQ(CheckpointReader(paths.checkpoint(1)).manifest().strength, CheckpointStrength::kLight);
}

TEST_F(Checkpoints, EntriesOfFilesTravelAsText) {
  begin_checkpoint(paths, 1);
  for (const CheckpointFile& file : write_parts(paths, 1)) {
    const CheckpointFile back = CheckpointFile::from_json(file.to_json());
    EXPECT_EQ(back.part, file.part);
    EXPECT_EQ(back.bytes, file.bytes);
    EXPECT_EQ(back.xxh3, file.xxh3);
  }
}

}  // namespace
}  // namespace latentcast::test
