#pragma once

namespace latentcast {

/// One function a subcommand; argv[0] is the subcommand's name. Return the exit code; throw Error for
/// failures.
int run_render(int argc, const char* const* argv);
int run_bench(int argc, const char* const* argv);
/// Prints docs/options.md.
int run_options(int argc, const char* const* argv);

}  // namespace latentcast
