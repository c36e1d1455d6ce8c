#pragma once

#include <vector>

#include "latentcast/pipeline/layout.h"

namespace latentcast {

/// `units` in `parts` ranges whose sizes differ by one at most, the longer ones first.
std::vector<Range> cut_evenly(int64_t units, int64_t parts);

/// Cuts units with these costs into `parts` ranges of at least one unit, so that the dearest range is as
/// cheap as it can be; `last` is what the last range's owner has to do besides. Of all such cuts the one
/// whose ranges differ least (smallest sum of squares), and of those the one with more in front. Needs at
/// least as many units as parts.
std::vector<Range> cut_balanced(const std::vector<double>& costs, int64_t parts, double last);

}  // namespace latentcast
