#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "latentcast/config/render_job.h"

namespace latentcast {

/// Sets the fields that the file names and leaves the others alone. Adds a notice for every public option
/// that means nothing here. Throws InputError naming file, line and key.
void read_yaml(const std::filesystem::path& path, RenderJob& job, std::vector<std::string>& notices);

}  // namespace latentcast
