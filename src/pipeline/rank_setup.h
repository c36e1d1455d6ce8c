#pragma once

#include "latentcast/budget/memory_planner.h"
#include "latentcast/comm/activity.h"
#include "latentcast/comm/communicator.h"
#include "latentcast/config/render_job.h"
#include "latentcast/device/device.h"
#include "latentcast/pipeline/checkpoint.h"
#include "latentcast/pipeline/conditions.h"
#include "latentcast/pipeline/layout.h"
#include "latentcast/pipeline/stage.h"

namespace latentcast {

/// What all parts of a render on one rank share. Stays where it is for the render's life.
struct RankSetup {
  RenderJob job;  ///< what rank 0 drew or chose holds for all
  ComputeDevice device;
  Checkpoint checkpoint;
  RankLayout layout;
  Inputs inputs;
  StageShape shape;
  MemoryPlan memory;          ///< estimated, of all ranks
  int64_t outside_bytes = 0;  ///< of it, what this rank takes besides tensors and caches
  bool copy_engines = false;  ///< are counted on to move what goes between ranks
  int rank = 0;
  int ranks_on_host = 1;
  RankActivity* activity = nullptr;  ///< of the session

  bool is_root() const { return rank == 0; }
};

/// Finds out everything that can be wrong for the user's reasons, before any weight is read. Collective over
/// `control`; an error comes on all ranks.
RankSetup set_up_rank(const RenderJob& job, const MpiSession& mpi, Communicator& control);

}  // namespace latentcast
