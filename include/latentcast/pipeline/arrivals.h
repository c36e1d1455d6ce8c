#pragma once

#include <optional>
#include <vector>

#include "latentcast/pipeline/schedule.h"

namespace latentcast {

/// Something that comes to a stage from another one at the end of a tick.
struct Arrival {
  enum class Kind {
    kConditionTokens,  ///< by layers, of a condition pass
    kBlockTokens,      ///< by layers, of a block at a timestep
    kLatents,          ///< by layers, a block's latents back on the first stage
    kLatentsAndPose,   ///< by timestep, of a block
    kFirstLatent       ///< clip 0's first latent, for clip 1's condition pass
  };
  Kind kind;
  int from = 0;  ///< stage

  bool operator==(const Arrival&) const = default;
};

/// What comes to one stage in each tick: what the schedule gives the stages that it takes from. All but the
/// first latent come from one stage and are used in the order of their coming; none is left at a cut.
class Arrivals {
 public:
  Arrivals(const RankLayout& layout, const ScheduleShape& shape, int stage, CutAfter cut_after = {});

  /// Of this tick, in the order in which they are sent. Ticks must be asked for in order.
  std::vector<Arrival> in_tick(int64_t tick);

 private:
  std::optional<Arrival::Kind> kind_of(const ScheduleItem& item) const;

  bool by_layers_, is_first_;
  int64_t timesteps_;
  int upstream_ = -1;              ///< stage whose results this one takes; −1: none
  std::optional<StageWalk> walk_;  ///< of upstream_
  int last_;                       ///< stage that makes the first latent
  int64_t first_latent_tick_ = -1;
};

}  // namespace latentcast
