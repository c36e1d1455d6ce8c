#pragma once

#include <cstdint>

namespace latentcast {

/// Pixels.
struct FrameSize {
  int width = 0;
  int height = 0;
  bool operator==(const FrameSize&) const = default;
};

/// The frame for a picture of this shape when the job names this area (in pixels): the picture's aspect, both
/// sides multiples of 64, as large as the area allows, never larger than the picture rounded up to multiples
/// of 64. Throws InputError for a picture that is too small or too narrow for any such frame.
FrameSize fit_to_area(int image_width, int image_height, int64_t area);

}  // namespace latentcast
