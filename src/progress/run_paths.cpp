#include "latentcast/progress/run_paths.h"

#include <cstdio>

namespace latentcast {
namespace {

std::string clip_folder(int64_t position) {
  char name[40];
  std::snprintf(name, sizeof name, "clip-%06lld", static_cast<long long>(position));
  return name;
}

}  // namespace

std::filesystem::path RunPaths::checkpoint(int64_t position) const {
  return checkpoints() / clip_folder(position);
}

std::filesystem::path RunPaths::checkpoint_part(int64_t position) const {
  return checkpoints() / (clip_folder(position) + ".part");
}

std::filesystem::path RunPaths::log(int rank) const {
  char name[32];
  std::snprintf(name, sizeof name, "rank-%04d.log", rank);
  return root / "log" / name;
}

}  // namespace latentcast
