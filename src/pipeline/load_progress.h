#pragma once

#include <chrono>
#include <cstdint>

#include "rank_setup.h"

#include "latentcast/pipeline/render.h"

namespace latentcast {

/// Bytes of weights that this rank reads before its first block, without LoRA. Reads none.
int64_t bytes_to_load(const RankSetup& setup);

/// Reports how much of the weights is read, some times a second and once it is all. A tensor counts when the
/// next one is begun.
class LoadProgress {
 public:
  /// Begins now. `sink` is borrowed.
  LoadProgress(const ProgressSink& sink, int64_t total);
  /// So many bytes are about to be read.
  void begin(int64_t bytes);
  /// Everything is read.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  void report();

  const ProgressSink& sink_;
  int64_t total_, done_ = 0, under_way_ = 0;
  Clock::time_point start_ = Clock::now(), reported_ = start_;
};

}  // namespace latentcast
