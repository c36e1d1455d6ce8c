#pragma once

#include <filesystem>

#include "ranks_matrix.h"

namespace latentcast::test {

/// Expects of RUN/report.json that the layout is what was asked for, with every layer and timestep once, and
/// that each rank did exactly the passes, ticks and gathers that follow from it. All blocks of the clips
/// count, as a trace has them computed.
void expect_report(const std::filesystem::path& run_dir, const RankCase& rank_case);

}  // namespace latentcast::test
