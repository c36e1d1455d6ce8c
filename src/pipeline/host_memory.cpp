#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "host_copies.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

int64_t available_on_host() {
  std::ifstream memory("/proc/meminfo");
  std::string name, unit;
  int64_t kilobytes = 0;
  while (memory >> name >> kilobytes) {
    std::getline(memory, unit);
    if (name == "MemAvailable:") {
      return kilobytes * 1024;
    }
  }
  return kUnlimited;
}

/// "max" and a missing file are no numbers.
std::optional<int64_t> number_in(const fs::path& file) {
  std::ifstream in(file);
  int64_t number = 0;
  return in >> number ? std::optional(number) : std::nullopt;
}

/// What a group may still take: what it may have, less what it has and can't give back.
int64_t left_to(const fs::path& group, const char* limit, const char* used) {
  const std::optional<int64_t> most = number_in(group / limit), taken = number_in(group / used);
  if (!most || !taken) {
    return kUnlimited;
  }
  int64_t pages = 0;
  std::ifstream statistics(group / "memory.stat");
  for (std::string name, value; statistics >> name >> value;) {
    if (name == "inactive_file" || name == "total_inactive_file") pages = std::stoll(value);
  }
  return std::max<int64_t>(0, *most - *taken + pages);
}

/// The group and those above it, up to `root`.
int64_t left_to_groups(const fs::path& root, const std::string& group, const char* limit, const char* used) {
  int64_t least = kUnlimited;
  fs::path path = root / fs::path(group).relative_path();
  for (;; path = path.parent_path()) {
    least = std::min(least, left_to(path, limit, used));
    if (path == root || path.string().size() <= root.string().size()) return least;
  }
}

int64_t available_to_groups() {
  std::ifstream groups("/proc/self/cgroup");
  int64_t least = kUnlimited;
  // "0::/path" in the unified hierarchy, "9:memory:/path" in the older one.
  for (std::string line; std::getline(groups, line);) {
    const size_t path = line.find(":/");
    if (path == std::string::npos) continue;
    const std::string group = line.substr(path + 1);
    if (line.starts_with("0::")) {
      least = std::min(least, left_to_groups("/sys/fs/cgroup", group, "memory.max", "memory.current"));
    } else if (line.find(":memory:") != std::string::npos) {
      least = std::min(least, left_to_groups("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes",
                                             "memory.usage_in_bytes"));
    }
  }
  return least;
}

}  // namespace

int64_t available_host_bytes() { return std::min(available_on_host(), available_to_groups()); }

}  // namespace latentcast
