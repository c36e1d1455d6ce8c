#pragma once

#include <string>

#include "latentcast/progress/segment_manifest.h"

namespace latentcast {

/// The HLS playlist (RFC 8216, an EVENT: only grows) of the segments so far, by names relative to the run's
/// folder. `ended`: no more will come.
std::string live_playlist(const SegmentManifest& manifest, int frames_per_second, bool ended);

}  // namespace latentcast
