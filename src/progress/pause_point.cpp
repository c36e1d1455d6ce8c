#include "latentcast/progress/pause_point.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace latentcast {
namespace {

/// Returns the file's size with the line, whatever others append meanwhile.
off_t append(const char* file, const std::string& line) {
  const int descriptor = ::open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor < 0) return 0;
  // One write, so that lines of several processes don't mix.
  [[maybe_unused]] const ssize_t written = ::write(descriptor, line.data(), line.size());
  const off_t end = ::lseek(descriptor, 0, SEEK_CUR);
  ::close(descriptor);
  return end;
}

/// Among the file's first `end` bytes: of two processes that come at once, one is the N-th.
int lines_of(const char* file, off_t end, const std::string& name) {
  std::ifstream in(file);
  int count = 0;
  for (std::string line; in.tellg() < end && std::getline(in, line);) {
    count += line.starts_with(name + " ") ? 1 : 0;
  }
  return count;
}

}  // namespace

void pause_point(const char* name) {
  const char* log = std::getenv("LATENTCAST_PAUSE_LOG");
  if (!log) return;
  char process[24];
  std::snprintf(process, sizeof process, " %d\n", static_cast<int>(::getpid()));
  const off_t end = append(log, std::string(name).append(process));
  const char* at = std::getenv("LATENTCAST_PAUSE_AT");
  if (!at) return;
  const std::string wanted(at);
  const size_t colon = wanted.find(':');
  const int count = colon == std::string::npos ? 1 : std::atoi(wanted.c_str() + colon + 1);
  if (wanted.substr(0, colon) != name || lines_of(log, end, name) != count) return;
  append(log, std::string("paused").append(process));
  const std::string go = std::string(log) + ".go";
  while (::access(go.c_str(), F_OK) != 0) ::usleep(10000);
}

}  // namespace latentcast
