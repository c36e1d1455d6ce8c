#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "program.h"

namespace latentcast::test {

/// Options by name, without the dashes; an empty value leaves one out that the job would have.
using Options = std::map<std::string, std::string>;

/// Renders tests/data/tiny into `run_dir` with other options; expects that it ends well.
ProgramResult render_tiny(const std::filesystem::path& run_dir, const Options& options = {});

}  // namespace latentcast::test
