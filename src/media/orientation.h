#pragma once

#include <cstdint>
#include <span>

#include "latentcast/media/picture.h"

namespace latentcast {

/// The EXIF orientation, 1..8, of a JPEG, PNG, WebP or TIFF file's bytes; 1 (upright) if it has none.
int exif_orientation(std::span<const uint8_t> file);

/// Undoes an orientation. Anything outside 2..8 leaves the picture as it is.
Picture turn_upright(Picture picture, int orientation);

}  // namespace latentcast
