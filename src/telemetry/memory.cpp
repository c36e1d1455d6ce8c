#include "latentcast/telemetry/memory.h"

#include <fstream>
#include <string>

#include <malloc.h>

namespace latentcast {
namespace {

/// A line of /proc/self/status, given in kB.
int64_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word == key) {
      int64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes * 1024;
    }
  }
  return 0;
}

}  // namespace

int64_t resident_bytes() { return status_bytes("VmRSS:"); }
int64_t peak_resident_bytes() { return status_bytes("VmHWM:"); }

void release_freed_memory() { ::malloc_trim(0); }

}  // namespace latentcast
