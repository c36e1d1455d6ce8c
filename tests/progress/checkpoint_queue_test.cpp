#include <atomic>

#include "checkpoint_test_support.h"

#include "latentcast/progress/checkpoint_job.h"
#include "latentcast/progress/condition_store.h"

namespace latentcast::test {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

TEST(CheckpointQueue, WritesWhatAWriterWrites) {
  const TemporaryFolder folder;
  const RunPaths direct(folder.path() / "direct"), behind(folder.path() / "behind");
  begin_checkpoint(direct, 1);
  const std::vector<CheckpointFile> expected = write_parts(direct, 1);
  begin_checkpoint(behind, 1);
  CheckpointQueue queue(behind, 1000);
  for (const auto& [timestep, begin, end] : {std::array<int64_t, 3>{0, 0, 3}, {1, 0, 1}, {1, 1, 3}}) {
    queue.open(1, CheckpointPart::of_timestep(timestep, begin, end));
    for (int64_t layer = begin; layer < end; ++layer) {
      const std::string group = "layer-" + std::to_string(layer);
      queue.add(group + "/key", sample_cache(1, timestep, layer, at::kBFloat16));
      queue.add(group + "/value", sample_cache(1, timestep, layer + 50, at::kBFloat16));
    }
    queue.add_number("filled", 3);
  }
  queue.open(1, CheckpointPart::decoder());
  queue.add("cache-0", sample_cache(1, 7, 0, at::kFloat));
  queue.open(1, CheckpointPart::render());
  queue.add("first_latent", sample_cache(1, 8, 0, at::kFloat));
  queue.close();
  const std::vector<CheckpointFile> files = queue.files();
  EXPECT_TRUE(queue.idle());
  ASSERT_EQ(files.size(), expected.size());
  publish_checkpoint(behind, sample_manifest(1, sample_segments(behind, 1), files));
  EXPECT_EQ(failure([&] { read_checkpoint(behind, 1); }), "nothing");
  EXPECT_TRUE(queue.files().empty()) << "each is told once";
}

TEST(CheckpointQueue, HoldsNoMoreThanItMay) {
  const TemporaryFolder folder;
  const RunPaths paths(folder.path());
  begin_checkpoint(paths, 1);
  std::atomic<int> alive{0}, most{0};
  CheckpointQueue queue(paths, 3 * 40000);
  queue.open(1, CheckpointPart::render());
  std::vector<float> memory(10000, 1.0F);
  for (int i = 0; i < 50; ++i) {
    most = std::max(most.load(), ++alive);
    // A lent slot: the deleter tells when it is free again.
    const at::Tensor slot = at::from_blob(
        memory.data(), {10000}, [&](void*) { --alive; }, at::kFloat);
    queue.add("tensor-" + std::to_string(i), slot);
  }
  queue.close();
  EXPECT_EQ(queue.files().size(), 1u);
  EXPECT_EQ(alive, 0);
  EXPECT_LE(most, 3 + 2) << "three in the queue, one given, one whose deletion is under way";
}

TEST(CheckpointQueue, EndsInTheMiddle) {
  const TemporaryFolder folder;
  const RunPaths paths(folder.path());
  begin_checkpoint(paths, 1);
  {
    CheckpointQueue queue(paths, 1 << 30);
    queue.open(1, CheckpointPart::render());
    for (int i = 0; i < 20; ++i) queue.add("tensor-" + std::to_string(i), at::rand({100000}));
  }
  EXPECT_FALSE(find_checkpoint(paths, "the job").position);
}

TEST(CheckpointQueue, ConditionsAreReadMeanwhile) {
  const TemporaryFolder folder;
  const RunPaths paths(folder.path());
  StoredConditions conditions;
  conditions.text = conditions.reference_latents = conditions.motion_latents = at::rand({4, 8});
  conditions.clips = 200;
  {
    ConditionWriter writer(paths.conditions(), "the job", conditions);
    for (int64_t clip = 0; clip < 200; ++clip) writer.add_audio(at::full({1, 4, 6}, clip, at::kFloat));
    writer.close();
  }
  const auto store = ConditionStore::open(paths.conditions(), "the job");
  begin_checkpoint(paths, 1);
  CheckpointQueue queue(paths, 1 << 20);
  queue.open(1, CheckpointPart::render());
  for (int64_t clip = 0; clip < 200; ++clip) {
    queue.add("tensor-" + std::to_string(clip), at::full({100, 100}, clip, at::kFloat));
    ASSERT_TRUE(at::equal(store->audio(clip), at::full({1, 4, 6}, clip, at::kFloat)));
  }
  queue.close();
  publish_checkpoint(paths, sample_manifest(1, sample_segments(paths, 1), queue.files()));
  const CheckpointReader reader(paths.checkpoint(1));
  for (int64_t clip = 0; clip < 200; ++clip) {
    ASSERT_TRUE(at::equal(reader.read(CheckpointPart::render(), "tensor-" + std::to_string(clip)),
                          at::full({100, 100}, clip, at::kFloat)));
  }
}

}  // namespace
}  // namespace latentcast::test
