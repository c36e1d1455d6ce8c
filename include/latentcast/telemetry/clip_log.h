#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>

namespace latentcast {

/// What a process had taken when a clip was finished.
struct ClipRecord {
  int64_t clip = 0;    ///< counted from 0, as its segment
  int64_t frames = 0;  ///< of the video, in this clip
  double seconds = 0;  ///< since the first block was begun
  int64_t resident_bytes = 0, peak_resident_bytes = 0;
  int64_t peak_device_bytes = 0;  ///< 0 on a CPU
  int64_t peak_gpu_bytes = 0;  ///< all that the process had of its GPU; 0 on a CPU, or if nothing can be read
};

/// telemetry.csv of a run: a line a clip, in the file as soon as it is added.
class ClipLog {
 public:
  /// Starts the file anew, or goes on in it. Throws OutputError if it can't be written to.
  explicit ClipLog(const std::filesystem::path& path, bool append = false);
  void add(const ClipRecord& record);

 private:
  void write(const std::string& line);

  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace latentcast
