#pragma once

#include <optional>
#include <string>

#include "rank_setup.h"

#include "latentcast/pipeline/render.h"
#include "latentcast/progress/checkpoint_reader.h"
#include "latentcast/progress/run_directory.h"

namespace latentcast {

/// How a render begins, the same on every rank.
struct RunStart {
  RunState state = RunState::kFresh;
  std::string identity;                        ///< hash of the job, its inputs and its weights
  std::optional<CheckpointReader> checkpoint;  ///< what it continues from, read and found whole

  /// The first clip of which the video gets frames.
  int64_t first_clip() const { return checkpoint ? checkpoint->manifest().position : 0; }
  bool is_light() const {
    return checkpoint && checkpoint->manifest().strength == CheckpointStrength::kLight;
  }
  /// The first clip that is computed: of a light checkpoint the last clips before it are done once more.
  int64_t first_done() const { return is_light() ? checkpoint->manifest().replay_from : first_clip(); }
};

/// Opens the run's folder on rank 0, which `folder` then holds (and so locks), finds out what an earlier run
/// left in it and which checkpoint to continue from: the newest that every rank finds undamaged in its share
/// of the files. Collective over `control`; an error comes on all ranks.
RunStart start_run(const RankSetup& setup, Communicator& control, std::optional<RunDirectory>& folder,
                   const NoteSink& note);

}  // namespace latentcast
