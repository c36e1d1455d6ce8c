#include "load_memory.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "layers_checkpoint.h"
#include <ATen/ATen.h>
#include <malloc.h>

#include "latentcast/shard/sharded_layers.h"
#include "latentcast/weights/safetensors_writer.h"

namespace latentcast::test {
namespace {

/// This process's memory, pages that several processes share counted in equal parts.
int64_t proportional_bytes() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  for (std::string line; std::getline(rollup, line);) {
    if (line.starts_with("Pss:")) return std::stoll(line.substr(4)) * 1024;
  }
  throw std::runtime_error("/proc/self/smaps_rollup has no Pss");
}

/// Watches this process's memory from a thread of its own.
class PeakMemory {
 public:
  PeakMemory() : before_(proportional_bytes()), peak_(before_), thread_([this] { watch(); }) {}
  ~PeakMemory() {
    if (thread_.joinable()) stop();
  }
  PeakMemory(const PeakMemory&) = delete;
  PeakMemory& operator=(const PeakMemory&) = delete;

  int64_t before() const { return before_; }
  int64_t stop() {
    stopping_ = true;
    thread_.join();
    return std::max(peak_, proportional_bytes());
  }

 private:
  void watch() {
    while (!stopping_) {
      peak_ = std::max(peak_, proportional_bytes());
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  int64_t before_, peak_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

int64_t sum_over_ranks(Communicator& world, int64_t own) {
  const at::Tensor all = at::empty({world.size()}, at::kLong);
  world.all_gather(at::full({1}, own, at::kLong), all);
  return all.sum().item<int64_t>();
}

/// Reads every value, as computing would. Returns the bytes.
int64_t look_at(const DitLayerWeights& layer) {
  int64_t bytes = 0;
  for (const at::Tensor& tensor : tensors_of(layer)) {
    tensor.sum();
    bytes += static_cast<int64_t>(tensor.nbytes());
  }
  return bytes;
}

}  // namespace

int64_t write_large_layers(const std::string& folder, const DitConfig& config) {
  const std::string path = folder + "/layers.safetensors";
  SafetensorsWriter writer(path);
  const at::Tensor values = at::rand({config.dim * std::max(config.ffn_dim, 6 * config.dim)});
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const PlacedTensor& tensor : lay_out_layer(config, layer, at::kFloat).tensors) {
      writer.add(tensor.name, DType::kF32, tensor.shape,
                 {static_cast<const std::byte*>(values.const_data_ptr()), static_cast<size_t>(tensor.bytes)});
    }
  }
  writer.close();
  return static_cast<int64_t>(std::filesystem::file_size(path));
}

LoadMemory load_and_measure(Communicator& world, const std::string& folder, const DitConfig& config,
                            Holding holding, at::ScalarType dtype) {
  CheckpointSource source = open_layers(folder, dtype, false);
  std::unique_ptr<Communicator> group = world.split(0);
  group->barrier();
  ::malloc_trim(0);  // what earlier tests freed would be taken again unseen
  PeakMemory memory;
  world.barrier();
  int64_t held = 0, gathered = 0;
  if (holding == Holding::kShards) {
    ShardedLayers layers(source, config, std::move(group));
    for (int64_t layer = 0; layer < config.layers; ++layer) look_at(layers.acquire(layer));
    held = layers.counters().share_bytes;
    gathered = layers.counters().resident_bytes - held;
    world.barrier();  // all hold all they ever hold
  } else {
    const int64_t begin = config.layers * world.rank() / world.size();
    const int64_t end = config.layers * (world.rank() + 1) / world.size();
    RangeOfLayers layers(source, config, begin, end);
    for (int64_t layer = begin; layer < end; ++layer) held += look_at(layers.acquire(layer));
    world.barrier();
  }
  const int64_t peak = memory.stop();
  return {sum_over_ranks(world, peak), sum_over_ranks(world, peak - memory.before()),
          sum_over_ranks(world, held), sum_over_ranks(world, gathered)};
}

}  // namespace latentcast::test
