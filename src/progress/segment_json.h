#pragma once

#include <filesystem>
#include <vector>

#include <nlohmann/json.hpp>

#include "latentcast/progress/segment_manifest.h"

namespace latentcast {

nlohmann::ordered_json segment_json(const SegmentEntry& entry);
/// A list of segments, by clip from 0 without gaps. Throws InputError naming `file` if it is none.
std::vector<SegmentEntry> segments_from(const nlohmann::ordered_json& list,
                                        const std::filesystem::path& file);

}  // namespace latentcast
