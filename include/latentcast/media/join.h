#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "latentcast/media/video_info.h"

namespace latentcast {

/// Joins files of SegmentWriter, in their order, to one MP4 without encoding again. Index in front; the sound
/// is cut at the last frame's end. Written beside as `out`.part, synced and renamed; equal segments give
/// equal bytes. Memory holds one packet a stream and the MP4's index. Throws InputError naming a segment that
/// is damaged or doesn't continue the one before, OutputError for `out`. `on_step` is called before each
/// segment.
void join_segments(const std::vector<std::filesystem::path>& segments, const std::filesystem::path& out,
                   const std::function<void()>& on_step = {});

}  // namespace latentcast
