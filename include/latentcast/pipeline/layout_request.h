#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "latentcast/config/render_job.h"
#include "latentcast/pipeline/layout.h"

namespace latentcast {

/// What the job asks of the layout. A process that runs alone ignores --num_gpus_dit and
/// --enable_vae_parallel, so that the public command line also works without a launcher.
LayoutRequest layout_request(const RenderJob& job, int world_size, int64_t timesteps, int64_t layers);

/// A line for what layout_request() ignores; none if there is nothing.
std::vector<std::string> layout_notices(const RenderJob& job, int world_size);

}  // namespace latentcast
