#pragma once

#include <cstdint>
#include <string>

#include "rank_setup.h"
#include <c10/util/Exception.h>

#include "latentcast/device/gpu_memory.h"
#include "latentcast/error.h"

namespace latentcast {

/// What a rank takes of its GPU: measured, and with --vram bounded for this object's life.
class RankBudget {
 public:
  /// `setup` must outlive this.
  explicit RankBudget(const RankSetup& setup);

  /// By which means the budget is kept, and what each rank will take, for people; empty without a budget.
  std::string plan_text() const;

  /// Runs `work`. If it finds no memory within the budget, throws InputError with the figures.
  template <typename Work>
  auto explaining(const Work& work) const {
    try {
      return work();
    } catch (const c10::OutOfMemoryError&) {
      if (!setup_.job.vram) {
        throw;
      }
      throw InputError(excess_text());
    }
  }

  /// Most that the process has had of its GPU; 0 on a CPU.
  int64_t peak_bytes() const { return meter_.peak(); }
  /// A rank's report (a JSON object) with what was taken, and estimated, of its GPU.
  std::string with_figures(const std::string& report) const;

 private:
  std::string name() const;
  std::string excess_text() const;
  const RankMemory& estimate() const { return setup_.memory.ranks[static_cast<size_t>(setup_.rank)]; }

  const RankSetup& setup_;
  GpuMemoryMeter meter_;
};

}  // namespace latentcast
