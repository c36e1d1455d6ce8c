#pragma once

#include <string>
#include <vector>

#include "bench_layouts.h"
#include <nlohmann/json.hpp>

namespace latentcast {

/// A layout that was measured.
struct MeasuredLayout {
  BenchLayout bench;
  double period = 0;  ///< seconds a block; 0: it could not be measured
  double allowed =
      0;  ///< what the busiest rank's work alone takes, by the step and the decoding measured alone
};

/// What comparing them says, an object for each kind of comparison with an entry for each layout:
/// - speedup: over one rank that decodes likewise (a stream's is also a decode rank's baseline), what is
/// allowed, and
///   the part of it that was reached;
/// - sharded_against_whole: the part by which it is slower;
/// - beside_against_after: time of a block with decoding beside the denoising over that with it in line.
/// A layout without its counterpart has no entry.
nlohmann::ordered_json compare_layouts(const std::vector<MeasuredLayout>& layouts);

}  // namespace latentcast
