#pragma once

#include <vector>

#include "latentcast/model/dit/weights.h"
#include "latentcast/pipeline/stage.h"

namespace latentcast {

/// What each layer of a step costs, as a part of the step: multiplications, counted with a full window. A
/// layer with an audio injector is dearer by the injector's query and output products.
std::vector<double> layer_costs(const DitConfig& config, const StageShape& shape);

}  // namespace latentcast
