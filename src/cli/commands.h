#pragma once

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// One function a subcommand; argv[0] is the subcommand's name. Return the exit code; throw Error for
/// failures.
int run_render(int argc, const char* const* argv, const MpiSession& mpi);
int run_bench(int argc, const char* const* argv, const MpiSession& mpi);
int run_compare(int argc, const char* const* argv, const MpiSession& mpi);
int run_inspect(int argc, const char* const* argv, const MpiSession& mpi);
/// `bench load` and `bench pipeline`; called by run_bench().
int run_bench_load(int argc, const char* const* argv);
int run_bench_pipeline(int argc, const char* const* argv, const MpiSession& mpi);
/// `bench checkpoint`; likewise.
int run_bench_checkpoint(int argc, const char* const* argv, const MpiSession& mpi);
/// What a render with the same options would take, and by which means it fits; reads the networks' sizes
/// only.
int run_plan(int argc, const char* const* argv, const MpiSession& mpi);
/// Prints docs/options.md.
int run_options(int argc, const char* const* argv, const MpiSession& mpi);

}  // namespace latentcast
