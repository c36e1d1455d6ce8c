#pragma once

#include <filesystem>
#include <string>

namespace latentcast {

/// Writes the checksum of a finished file beside it, as FILE.sha256 (sha256sum --check reads it). For the
/// sound track, which is made once and read by every continuation. Throws OutputError.
void seal_file(const std::filesystem::path& file);

/// Why `file` is not the one that was sealed ("is missing", "has no checksum", "has been changed"); empty if
/// it is.
std::string seal_damage(const std::filesystem::path& file);

}  // namespace latentcast
