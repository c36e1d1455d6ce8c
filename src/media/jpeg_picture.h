#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "latentcast/media/picture.h"

namespace latentcast {

/// Decodes a JPEG as libjpeg-turbo does by default, which is what Pillow shows too (FFmpeg's own decoder
/// differs in rounding and chroma). Not turned. `path` is only what messages name.
Picture decode_jpeg(std::span<const uint8_t> file, const std::filesystem::path& path);

}  // namespace latentcast
