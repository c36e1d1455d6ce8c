#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "latentcast/progress/run_paths.h"

namespace latentcast {

/// A closed, durable segment: one clip of the video.
struct SegmentEntry {
  int64_t clip = 0;
  std::string file;  ///< name in segments/
  int64_t frames = 0, bytes = 0;
  std::string sha256;
  bool operator==(const SegmentEntry&) const = default;
};

/// The video of a finished run.
struct FinishedVideo {
  std::filesystem::path file;
  int64_t clips = 0, frames = 0, bytes = 0;
  std::string sha256;
};

/// segments/manifest.json: what is finished. Only closed and synced files are in it.
struct SegmentManifest {
  int64_t clips = 0;                   ///< that the run will have
  int64_t frames_a_clip = 48;          ///< at most
  std::vector<SegmentEntry> segments;  ///< by clip, without gaps, from 0
  std::optional<FinishedVideo> video;
  /// Clips from here on continue a light checkpoint or were begun on another GPU model: rendered again from
  /// an earlier checkpoint they may come out different.
  std::optional<int64_t> may_differ_from;

  std::string to_json() const;
  /// Throws InputError naming `file` if any byte of it was changed.
  static SegmentManifest from_json(const std::string& text, const std::filesystem::path& file);
};

/// The manifest of the run, if there is one. Throws InputError if it is damaged.
std::optional<SegmentManifest> read_segment_manifest(const RunPaths& paths);

/// Why a file is not the one that was written ("is missing", "has 1200 bytes instead of 1400", "has been
/// changed"); empty if it is.
std::string file_damage(const std::filesystem::path& file, int64_t bytes, const std::string& sha256);
/// The same of a segment.
std::string segment_damage(const RunPaths& paths, const SegmentEntry& entry);

}  // namespace latentcast
