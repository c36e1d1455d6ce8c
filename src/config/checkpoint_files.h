#pragma once

#include <filesystem>

namespace latentcast {

/// Throws InputError naming every file of the checkpoint that is not there.
void check_checkpoint(const std::filesystem::path& folder);

}  // namespace latentcast
