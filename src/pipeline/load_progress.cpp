#include "load_progress.h"

#include "latentcast/model/vae/decoder.h"

namespace latentcast {
namespace {

constexpr std::chrono::milliseconds kBetweenReports(200);

}  // namespace

int64_t bytes_to_load(const RankSetup& setup) {
  int64_t bytes = 0;
  Checkpoint counted = setup.checkpoint;
  counted.on_read = [&](const std::string&, int64_t count) { bytes += count; };
  ComputeDevice nowhere = setup.device;
  nowhere.device = at::kMeta;
  const int stage = setup.layout.stage_of(setup.rank);
  if (stage >= 0) {
    const DitConfig& config = counted.dit_config;
    const auto layers = setup.layout.stages[static_cast<size_t>(stage)].layers;
    CheckpointSource source = counted.dit_source(nowhere);
    const RangeOfLayers range(source, config, layers.begin, layers.end);
    if (setup.layout.shard) {
      bytes /= std::ssize(setup.layout.stages);
    }
    take_dit_globals(source, config);
  }
  if (setup.layout.decodes(setup.rank)) {
    CheckpointSource source = counted.vae_source(nowhere);
    const VaeDecoder decoder(source);
  }
  return bytes;
}

LoadProgress::LoadProgress(const ProgressSink& sink, int64_t total) : sink_(sink), total_(total) {}

void LoadProgress::begin(int64_t bytes) {
  done_ += under_way_;
  under_way_ = bytes;
  if (Clock::now() - reported_ >= kBetweenReports) {
    report();
  }
}

void LoadProgress::finish() {
  done_ = total_;
  report();
}

void LoadProgress::report() {
  reported_ = Clock::now();
  RenderProgress progress{"weights"};
  progress.bytes_done = done_ < total_ ? done_ : total_;
  progress.bytes = total_;
  progress.seconds = std::chrono::duration<double>(reported_ - start_).count();
  sink_(progress);
}

}  // namespace latentcast
