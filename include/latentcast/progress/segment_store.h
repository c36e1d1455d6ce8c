#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "latentcast/progress/run_paths.h"
#include "latentcast/progress/segment_manifest.h"

namespace latentcast {

/// The segments of a run and what is told of them: segments/manifest.json and live.m3u8. Owned by the rank
/// that writes the video. A segment is durable under its name before it is listed, and listed in the manifest
/// before it is in the playlist.
class SegmentStore {
 public:
  struct Settings {
    int64_t clips = 0;          ///< that the run will have
    int64_t frames_a_clip = 0;  ///< at most; sets the playlist's target duration
    int frames_per_second = 25;
    /// What if a clip that was finished before comes out different: false refuses (InternalError), true
    /// replaces it and says so (light checkpoints, another GPU model). Remembered: clips after `known` may
    /// also be replaced by later runs.
    bool replace = false;
  };
  using Notes = std::function<void(const std::string&)>;

  /// Makes the folder, or goes on in one. `known`: the segments that the checkpoint names (empty for a fresh
  /// start); where the manifest is damaged or lacks them, they are what counts. Throws OutputError.
  SegmentStore(const RunPaths& paths, const Settings& settings, const std::vector<SegmentEntry>& known,
               Notes note);

  /// Where to write a clip's segment: its name, or one beside it if it was finished before.
  std::filesystem::path place_for(int64_t clip) const;
  /// The clip's segment has been closed (SegmentWriter::close()) at place_for(clip): gives it its name and
  /// lists it, or, if it was finished before, compares and leaves the old one untouched. Clips come in order.
  void commit(int64_t clip, int64_t frames);

  /// Files of all clips in order, read once more and compared with what was listed. Throws InputError naming
  /// one that has been changed, InternalError if clips are not rendered yet.
  std::vector<std::filesystem::path> files() const;
  /// Listed segments of clips 0 … count − 1, for a checkpoint.
  std::vector<SegmentEntry> entries(int64_t count) const;
  const SegmentManifest& manifest() const { return manifest_; }

  /// The video is joined and durable: the run is finished, the playlist ends.
  void finish(const std::filesystem::path& video);

 private:
  bool listed(int64_t clip) const { return clip < static_cast<int64_t>(manifest_.segments.size()); }
  void list(const SegmentEntry& entry);
  void compare(SegmentEntry again);
  void write();

  RunPaths paths_;
  Settings settings_;
  Notes note_;
  bool told_of_replacing_ = false;
  SegmentManifest manifest_;
};

}  // namespace latentcast
