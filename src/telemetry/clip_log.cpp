#include "latentcast/telemetry/clip_log.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "latentcast/error.h"

namespace latentcast {

ClipLog::ClipLog(const std::filesystem::path& path, bool append)
    : path_(path), file_(path, append ? std::ios::app : std::ios::out) {
  if (!append)
    write("clip,frames,seconds,resident_bytes,peak_resident_bytes,peak_device_bytes,peak_gpu_bytes");
}

void ClipLog::add(const ClipRecord& record) {
  char line[160];
  std::snprintf(
      line, sizeof line, "%lld,%lld,%.3f,%lld,%lld,%lld,%lld", static_cast<long long>(record.clip),
      static_cast<long long>(record.frames), record.seconds, static_cast<long long>(record.resident_bytes),
      static_cast<long long>(record.peak_resident_bytes), static_cast<long long>(record.peak_device_bytes),
      static_cast<long long>(record.peak_gpu_bytes));
  write(line);
}

void ClipLog::write(const std::string& line) {
  if (!(file_ << line << std::endl)) {
    throw OutputError(path_.string() + ": can't be written: " + std::strerror(errno) +
                      "; free some space and run again, or choose another place");
  }
}

}  // namespace latentcast
