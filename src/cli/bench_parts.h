#pragma once

#include "bench_model.h"
#include <nlohmann/json.hpp>

namespace latentcast {

/// Adds to bench_dit()'s report what a step can't take less than: its products and attention alone, on
/// weights and inputs of the step's shapes. "limit_ms": the blocks' products and self-attention;
/// "limit_all_ms": also the attention to the prompt and the injectors' products and attention; "of_limit",
/// "of_limit_all": these over the step's time.
void add_limit(nlohmann::ordered_json& report, const BenchJob& job, const ModelShape& model,
               const ComputeDevice& device);

/// Each part of a step by itself: its time, how often a step has it, for our kernels the time that moving
/// their bytes takes at the device's copying speed, for products their speed.
nlohmann::ordered_json bench_kernels(const BenchJob& job, const ModelShape& model,
                                     const ComputeDevice& device);

}  // namespace latentcast
