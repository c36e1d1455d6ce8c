// Every kind of byte of a checkpoint changed: found, each time.

#include <map>
#include <set>

#include "checkpoint_test_support.h"

namespace latentcast::test {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace fs = std::filesystem;

/// What a byte of an HDF5 file belongs to, by the signatures of HDF5's structures (in files with checksums on
/// them all begin with one), the superblock and the tensors' known contents.
std::map<size_t, std::string> regions_of(const std::string& bytes, const std::vector<std::string>& contents) {
  std::map<size_t, std::string> regions = {{0, "superblock"}};
  for (const char* signature : {"OHDR", "OCHK", "FRHP", "FHDB", "FHIB", "BTHD", "BTLF", "BTIN", "FSHD"}) {
    for (size_t at = bytes.find(signature); at != std::string::npos; at = bytes.find(signature, at + 4)) {
      regions[at] = signature;
    }
  }
  for (const char* attribute : {"xxh3", "dtype", "filled"}) {
    for (size_t at = bytes.find(attribute); at != std::string::npos; at = bytes.find(attribute, at + 1)) {
      regions[at] = std::string("attribute ") + attribute;
    }
  }
  for (const std::string& content : contents) {
    const size_t at = bytes.find(content);
    if (at != std::string::npos) regions[at] = "data";
  }
  return regions;
}

std::string bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

class Damage : public ::testing::Test {
 protected:
  Damage() : paths(folder.path() / "run") {
    fs::create_directories(paths.root);
    write_checkpoint(paths, 2);
    write_checkpoint(paths, 3);
  }

  /// As a run does: the newest that can be found, verified; else the one before it.
  FoundCheckpoint resume() const { return find_verified_checkpoint(paths, "the job"); }

  void expect_fallback(const std::string& what) const {
    FoundCheckpoint found;
    EXPECT_EQ(failure([&] { found = resume(); }), "nothing") << what;
    EXPECT_EQ(found.position, 2) << what;
    ASSERT_EQ(found.notes.size(), 1u) << what;
    EXPECT_THAT(found.notes[0], AnyOf(HasSubstr("damaged"), HasSubstr("bytes instead of"))) << what;
  }

  TemporaryFolder folder;
  RunPaths paths;
};

TEST_F(Damage, OfEachRegionOfAFileLeadsToTheOlderCheckpoint) {
  const fs::path file = paths.checkpoint(3) / "timestep-0.layers-0-2.h5";
  const std::string whole = read_bytes(file);
  const auto regions = regions_of(whole, {bytes_of(sample_cache(3, 0, 0, at::kBFloat16)),
                                          bytes_of(sample_cache(3, 0, 52, at::kBFloat16))});
  std::set<std::string> kinds;
  for (const auto& [at, kind] : regions) {
    kinds.insert(kind);
    for (const size_t offset : {size_t{0}, size_t{5}, size_t{17}}) {
      if (at + offset >= whole.size()) continue;
      flip(file, at + offset, 0x10);
      expect_fallback(kind + " at " + std::to_string(at + offset));
      write_bytes(file, whole);
    }
  }
  // The superblock, an object's header, both attributes of a data set, the number, and contents.
  EXPECT_THAT(kinds, ::testing::IsSupersetOf({"superblock", "OHDR", "attribute xxh3", "attribute dtype",
                                              "attribute filled", "data"}));
  EXPECT_EQ(resume().position, 3) << "the file is whole again";
}

TEST_F(Damage, ShortenedOrLengthenedFiles) {
  const fs::path file = paths.checkpoint(3) / "decoder.h5";
  const std::string whole = read_bytes(file);
  for (const size_t length : {size_t{0}, size_t{100}, whole.size() - 1}) {
    write_bytes(file, whole.substr(0, length));
    expect_fallback("length " + std::to_string(length));
  }
  write_bytes(file, whole + "x");
  expect_fallback("one byte more");
}

TEST_F(Damage, FilesInEachOthersPlaces) {
  const fs::path file = paths.checkpoint(3) / "render.h5";
  write_bytes(file, read_bytes(paths.checkpoint(2) / "render.h5"));
  expect_fallback("of another checkpoint");
}

TEST_F(Damage, OfTheManifestIsFoundAtEveryByte) {
  const fs::path file = paths.checkpoint(3) / "manifest.json";
  const std::string whole = read_bytes(file);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ (at % 2 == 0 ? 0x01 : 0x20));
    ASSERT_THAT(failure([&] { CheckpointManifest::from_json(changed, file); }),
                StartsWith("64: " + file.string() + " is damaged"))
        << "byte " << at;
  }
  flip(file, whole.size() / 2);
  expect_fallback("manifest");
  fs::remove(file);
  FoundCheckpoint found;
  EXPECT_EQ(failure([&] { found = resume(); }), "nothing");
  EXPECT_EQ(found.position, 2) << "without a manifest";
}

TEST_F(Damage, OfAllCheckpointsIsRefusedWithTheReasons) {
  flip(paths.checkpoint(2) / "manifest.json", 10);
  flip(paths.checkpoint(3) / "render.h5", 2000);
  const std::string refusal = failure([&] { resume(); });
  EXPECT_THAT(refusal, StartsWith("64: "));
  EXPECT_THAT(refusal, HasSubstr("render.h5 is damaged"));
  EXPECT_THAT(refusal, HasSubstr("clip-000002/manifest.json is damaged"));
}

// Without the checksum over whole files: what a data set's own checksum and HDF5's find by themselves. Every
// byte changed is found, or made no difference (unused room between HDF5's structures).
TEST_F(Damage, IsNeverReadAsATensorEvenWithoutVerifying) {
  const CheckpointReader reader(paths.checkpoint(3));
  const CheckpointPart part = CheckpointPart::of_timestep(1, 0, 1);
  const fs::path file = paths.checkpoint(3) / part.file_name();
  const std::string whole = read_bytes(file);
  const at::Tensor key = sample_cache(3, 1, 0, at::kBFloat16), value = sample_cache(3, 1, 50, at::kBFloat16);
  int found = 0, harmless = 0;
  for (size_t at = 0; at < whole.size(); at += at < 4096 ? 3 : 97) {
    flip(file, at, 0x04);
    const std::string outcome = failure([&] {
      const bool same = at::equal(reader.read(part, "layer-0/key"), key) &&
                        at::equal(reader.read(part, "layer-0/value"), value) &&
                        reader.number(part, "filled") == 3;
      if (!same) throw InternalError("silently wrong");
    });
    EXPECT_TRUE(outcome == "nothing" || outcome.starts_with("64: ")) << "byte " << at << ": " << outcome;
    (outcome == "nothing" ? harmless : found) += 1;
    write_bytes(file, whole);
  }
  EXPECT_GT(found, 100);
  RecordProperty("harmless", harmless);
}

}  // namespace
}  // namespace latentcast::test
