#include "latentcast/progress/job_identity.h"

#include "progress_test_support.h"
#include <sys/stat.h>

#include "latentcast/config/options.h"
#include "latentcast/progress/checksum.h"
#include "latentcast/progress/sealed_file.h"

namespace latentcast::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

void set_time(const fs::path& file, time_t seconds) {
  const timespec times[] = {{seconds, 0}, {seconds, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
}

TEST(Checksum, KnownValues) {
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(xxh3({}), "99aa06d3014798d86001c324468d497f");  // of XXH128's own documentation: nothing
  const TemporaryFolder folder;
  write_bytes(folder.path() / "abc", "abc");
  EXPECT_EQ(sha256_of_file(folder.path() / "abc"), sha256("abc"));
  EXPECT_THAT(failure([&] { sha256_of_file(folder.path() / "none"); }),
              AllOf(HasSubstr("64: "), HasSubstr("none can't be read")));
  EXPECT_THAT(failure([&] { xxh3_of_file(folder.path()); }), HasSubstr("64: ")) << "a folder";
}

TEST(SealedFile, TellsWhetherItIsStillTheSame) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "sound.aac";
  EXPECT_EQ(seal_damage(file), "is missing");
  write_bytes(file, "abc");
  EXPECT_EQ(seal_damage(file), "has no checksum");
  seal_file(file);
  EXPECT_EQ(seal_damage(file), "");
  EXPECT_EQ(read_bytes(file.string() + ".sha256"), sha256("abc") + "  sound.aac\n");
  flip(file, 1);
  EXPECT_EQ(seal_damage(file), "has been changed");
  flip(file, 1);
  flip(file.string() + ".sha256", 70);
  EXPECT_EQ(seal_damage(file), "has been changed");
}

TEST(Checksum, TellsThatItMoves) {
  const TemporaryFolder folder;
  write_bytes(folder.path() / "big", std::string(5 << 20, 'x'));
  int steps = 0;
  sha256_of_file(folder.path() / "big", [&] { ++steps; });
  EXPECT_GE(steps, 5);
  FileHashCache(fs::path()).hash(folder.path() / "big", [&] { ++steps; });
  EXPECT_GE(steps, 10);
}

TEST(FileHashCache, ReadsAFileOnceUntilItChanges) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "weights", other = folder.path() / "other";
  write_bytes(file, "abc");
  set_time(file, 1000);
  FileHashCache cache(folder.path() / "cache/hashes.json");
  EXPECT_EQ(cache.hash(file), sha256("abc"));
  // The same size and time: what was known is told, which shows that the file isn't read.
  write_bytes(file, "xyz");
  set_time(file, 1000);
  EXPECT_EQ(FileHashCache(folder.path() / "cache/hashes.json").hash(file), sha256("abc"));
  set_time(file, 1001);
  EXPECT_EQ(cache.hash(file), sha256("xyz"));
  write_bytes(other, "other");
  set_time(other, 1000);
  EXPECT_EQ(cache.hash(other), sha256("other"));
  EXPECT_EQ(cache.hash(file), sha256("xyz"));
}

TEST(FileHashCache, DoesNotRememberAFileJustWritten) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "weights";
  FileHashCache cache(folder.path() / "hashes.json");
  write_bytes(file, "abc");
  EXPECT_EQ(cache.hash(file), sha256("abc"));
  struct stat status {};
  ASSERT_EQ(stat(file.c_str(), &status), 0);
  write_bytes(file, "xyz");
  const timespec times[] = {status.st_mtim, status.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  EXPECT_EQ(cache.hash(file), sha256("xyz"));
}

TEST(FileHashCache, IsDoneWithoutIfDamagedOrUnwritable) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "weights", stored = folder.path() / "hashes.json";
  write_bytes(file, "abc");
  set_time(file, 1000);
  EXPECT_EQ(FileHashCache(stored).hash(file), sha256("abc"));
  flip(stored, read_bytes(stored).find(sha256("abc")), 1);
  EXPECT_EQ(FileHashCache(stored).hash(file), sha256("abc"));
  EXPECT_EQ(FileHashCache("/proc/none/hashes.json").hash(file), sha256("abc"));
  EXPECT_EQ(FileHashCache(fs::path()).hash(file), sha256("abc"));
}

/// A job on copies of the tiny case's files.
class Identity : public ::testing::Test {
 protected:
  Identity() {
    fs::copy(data_folder() / "tiny", folder.path(), fs::copy_options::recursive);
    job.ckpt_dir = folder.path() / "checkpoint";
    job.image = folder.path() / "portrait.png";
    job.audio = {folder.path() / "speech.wav"};
    job.prompt = "A person speaks.";
    job.base_seed = 1;
  }
  JobIdentity now(const RenderJob& asked) {
    FileHashCache cache(folder.path() / "hashes.json");
    return identify(asked, "cpu", "float32", cache);
  }
  std::vector<std::string> changed_to(const RenderJob& other) { return differences(first, now(other)); }

  TemporaryFolder folder;
  RenderJob job;
  JobIdentity first;
};

TEST_F(Identity, IsKeptInAFile) {
  first = now(job);
  const JobIdentity back = identity_from_json(first.to_json(), "identity.json");
  EXPECT_EQ(back.hash(), first.hash());
  EXPECT_THAT(differences(first, back), IsEmpty());
  EXPECT_EQ(first.weights.size(), model_files(job.ckpt_dir).size());
  std::string text = first.to_json();
  text[text.find("A person")] = 'B';
  EXPECT_THAT(failure([&] { identity_from_json(text, "identity.json"); }),
              HasSubstr("identity.json is damaged"));
}

TEST_F(Identity, ChangesWithEveryContentField) {
  first = now(job);
  RenderJob other = job;
  other.base_seed = 2;
  EXPECT_THAT(changed_to(other), ElementsAre("base_seed was 1, is 2"));
  EXPECT_NE(now(other).hash(), first.hash());
  other = job;
  other.cond_distance = 10;
  EXPECT_THAT(changed_to(other), ElementsAre("cond_distance was not given, is 10"));
  other = job;
  other.load_lora = true;
  other.lora_path_dmd = job.ckpt_dir / "liveavatar.safetensors";
  EXPECT_THAT(changed_to(other),
              ElementsAre("load_lora was false, is true", HasSubstr("lora_path_dmd is new")));
  FileHashCache cache(folder.path() / "hashes.json");
  EXPECT_THAT(differences(first, identify(job, "cuda", "bf16", cache)),
              ElementsAre("device was cpu, is cuda", "dtype was float32, is bf16"));
}

TEST_F(Identity, DoesNotChangeWithFieldsOfTheRun) {
  first = now(job);
  RenderJob other = job;
  other.checkpoint_minutes = 1;
  other.checkpoint = "light";
  other.num_gpus_dit = 2;
  other.timeout = 7;
  other.num_clip = 100;
  other.save_file = "elsewhere.mp4";
  EXPECT_EQ(now(other).hash(), first.hash());
  EXPECT_THAT(changed_to(other), IsEmpty());
}

TEST_F(Identity, FollowsTheBytesOfFilesNotTheirPlaces) {
  first = now(job);
  RenderJob moved = job;
  moved.image = folder.path() / "moved.png";
  fs::rename(job.image, moved.image);
  moved.ckpt_dir = folder.path() / "weights";
  fs::rename(job.ckpt_dir, moved.ckpt_dir);
  moved.prompt.reset();
  moved.prompt_file = folder.path() / "prompt.txt";
  write_bytes(moved.prompt_file, *job.prompt);
  EXPECT_THAT(changed_to(moved), IsEmpty());
  EXPECT_EQ(now(moved).hash(), first.hash());

  flip(moved.audio.front(), 1000);
  EXPECT_THAT(changed_to(moved), ElementsAre(HasSubstr("audio has other contents")));
  flip(moved.audio.front(), 1000);
  flip(moved.ckpt_dir / "Wan2.1_VAE.pth", 5000);
  EXPECT_THAT(changed_to(moved), ElementsAre(HasSubstr("Wan2.1_VAE.pth has other contents")));
  flip(moved.ckpt_dir / "Wan2.1_VAE.pth", 5000);
  write_bytes(moved.prompt_file, "Another prompt.");
  EXPECT_THAT(changed_to(moved), ElementsAre("prompt was A person speaks., is Another prompt."));
}

}  // namespace
}  // namespace latentcast::test
