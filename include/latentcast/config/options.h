#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "latentcast/config/render_job.h"

namespace latentcast {

/// What a command line asked for.
struct ParsedArgs {
  RenderJob job;
  std::vector<std::string>
      notices;        ///< one line each: options that mean nothing here, and what replaces them
  bool help = false;  ///< --help was given: print render_help(), do nothing else
};

/// Reads the options of `render`; argv[0] is skipped. `--config job.yaml` is read first, flags win. Names may
/// be written with - or _. Checks names and types only; validate() does the rest. Throws InputError naming
/// option, file and line.
ParsedArgs parse_render_args(int argc, const char* const* argv);

/// What `render --help` prints.
std::string render_help();

/// docs/options.md.
std::string options_markdown();

/// The job with every field that has a value, paths absolute. from_yaml(to_yaml(job)) gives the same job.
std::string to_yaml(const RenderJob& job);

/// A job from a YAML file; relative paths in it are relative to its folder. Throws InputError naming file,
/// line and key.
RenderJob from_yaml(const std::filesystem::path& path);

/// How a field counts when a run is continued.
enum class Identity {
  kContent,  ///< must be the same
  kGrows,    ///< may only grow
  kRun,      ///< may change
};

/// Names of the fields of `b` whose value differs from `a`'s and that count as `identity`, in the table's
/// order.
std::vector<std::string> differing_fields(const RenderJob& a, const RenderJob& b, Identity identity);

/// Names and values of the fields that must be the same and aren't files, in the table's order; empty where
/// there is no value. The prompt as its text, whichever way it was given. Files count by their bytes, which
/// progress/job_identity.h compares.
std::vector<std::pair<std::string, std::string>> content_fields(const RenderJob& job);

}  // namespace latentcast
