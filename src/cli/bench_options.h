#pragma once

#include "bench_model.h"
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace latentcast {

/// The options that all benchmarks have.
void add_bench_options(CLI::App& app, BenchJob& job);

/// False if only help was asked for, which is printed. Throws InputError.
bool parse_bench(CLI::App& app, int argc, const char* const* argv);

/// Adds what was measured, and on what.
void describe(nlohmann::ordered_json& report, const BenchJob& job, const ComputeDevice& device);

}  // namespace latentcast
