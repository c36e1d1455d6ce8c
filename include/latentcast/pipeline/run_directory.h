#pragma once

#include <filesystem>
#include <string>

#include "latentcast/config/render_job.h"

namespace latentcast {

/// Writes a small text file beside its final name and renames it. Throws OutputError.
void write_text_file(const std::filesystem::path& file, const std::string& text);

/// The folder of a run: job.yaml, sound.aac, segments/, report.json, and video.mp4 unless --save_file names
/// another place.
class RunDirectory {
 public:
  /// Makes the folder and writes job.yaml. Throws OutputError if it can't be written to, InputError if it
  /// holds another job.
  explicit RunDirectory(const RenderJob& job);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path sound_track() const { return path_ / "sound.aac"; }
  std::filesystem::path video() const { return video_; }

 private:
  std::filesystem::path path_, video_;
};

}  // namespace latentcast
