#pragma once

#include <optional>
#include <string>

#include "latentcast/pipeline/conditions.h"
#include "latentcast/pipeline/render.h"
#include "latentcast/progress/run_paths.h"

namespace latentcast {

/// What an earlier run of the job encoded; nothing if there is none, or if it is damaged (which `note` tells:
/// it is encoded again, to the same values). `identity`: of the job.
std::optional<Conditions> load_conditions(const RunPaths& paths, const std::string& identity,
                                          const NoteSink& note);

/// Writes conditions.h5. Throws OutputError.
void keep_conditions(const RunPaths& paths, const std::string& identity, const Conditions& conditions,
                     int64_t frames_a_clip);

}  // namespace latentcast
