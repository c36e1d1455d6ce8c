#include "latentcast/progress/segment_manifest.h"

#include "sealed_json.h"
#include "segment_json.h"

#include "latentcast/error.h"
#include "latentcast/progress/checksum.h"
#include "latentcast/progress/durable_file.h"

namespace latentcast {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json segment_json(const SegmentEntry& entry) {
  return {{"clip", entry.clip},
          {"file", entry.file},
          {"frames", entry.frames},
          {"bytes", entry.bytes},
          {"sha256", entry.sha256}};
}

SegmentEntry segment_from(const Json& json) {
  return {json.at("clip"), json.at("file"), json.at("frames"), json.at("bytes"), json.at("sha256")};
}

std::vector<SegmentEntry> segments_from(const Json& list, const fs::path& file) {
  std::vector<SegmentEntry> segments;
  for (const Json& json : list) {
    segments.push_back(segment_from(json));
    if (segments.back().clip + 1 != static_cast<int64_t>(segments.size())) {
      throw InputError(file.string() + ": its segments are out of order");
    }
  }
  return segments;
}

std::string SegmentManifest::to_json() const {
  Json json;
  json["format"] = 1;
  json["clips"] = clips;
  json["frames_a_clip"] = frames_a_clip;
  if (may_differ_from) {
    json["may_differ_from"] = *may_differ_from;
  }
  if (video) {
    json["video"] = {{"file", video->file.string()},
                     {"clips", video->clips},
                     {"frames", video->frames},
                     {"bytes", video->bytes},
                     {"sha256", video->sha256}};
  }
  json["segments"] = Json::array();
  for (const SegmentEntry& entry : segments) {
    json["segments"].push_back(segment_json(entry));
  }
  return seal(std::move(json));
}

SegmentManifest SegmentManifest::from_json(const std::string& text, const fs::path& file) {
  return read_sealed(text, file, [&](const Json& json) {
    SegmentManifest manifest;
    manifest.clips = json.at("clips");
    manifest.frames_a_clip = json.at("frames_a_clip");
    if (json.contains("may_differ_from")) {
      manifest.may_differ_from = json.at("may_differ_from").get<int64_t>();
    }
    if (json.contains("video")) {
      const Json& video = json.at("video");
      manifest.video = {video.at("file").get<std::string>(), video.at("clips"), video.at("frames"),
                        video.at("bytes"), video.at("sha256")};
    }
    manifest.segments = segments_from(json.at("segments"), file);
    return manifest;
  });
}

std::optional<SegmentManifest> read_segment_manifest(const RunPaths& paths) {
  const fs::path file = paths.segment_manifest();
  std::error_code ignored;
  if (!fs::exists(file, ignored)) {
    return std::nullopt;
  }
  return SegmentManifest::from_json(read_text_file(file), file);
}

std::string segment_damage(const RunPaths& paths, const SegmentEntry& entry) {
  return file_damage(paths.segments() / entry.file, entry.bytes, entry.sha256);
}

std::string file_damage(const fs::path& file, int64_t bytes, const std::string& sha256) {
  std::error_code error;
  const auto size = static_cast<int64_t>(fs::file_size(file, error));
  if (error) {
    return error == std::errc::no_such_file_or_directory ? "is missing" : "can't be read: " + error.message();
  }
  if (size != bytes) {
    return "has " + std::to_string(size) + " bytes instead of " + std::to_string(bytes);
  }
  try {
    return sha256_of_file(file) == sha256 ? "" : "has been changed";
  } catch (const InputError& unreadable) {
    return unreadable.what();
  }
}

}  // namespace latentcast
