#include <cstdlib>
#include <ctime>
#include <optional>
#include <utility>

#include "sealed_json.h"
#include <sys/stat.h>

#include "latentcast/error.h"
#include "latentcast/progress/checksum.h"
#include "latentcast/progress/durable_file.h"
#include "latentcast/progress/job_identity.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// A file changed again within the clock's grain would keep its time: only older ones are remembered.
constexpr int64_t kSettledSeconds = 2;
/// More files than that aren't remembered: the oldest entries go.
constexpr size_t kMostEntries = 1000;

fs::path default_cache() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache && *cache) return fs::path(cache) / "latentcast" / "file-hashes.json";
  if (home && *home) return fs::path(home) / ".cache" / "latentcast" / "file-hashes.json";
  return {};
}

Json read_cache(const fs::path& file) {
  try {
    if (!file.empty()) return unseal(read_text_file(file), file);
  } catch (const InputError&) {
    // None yet, or damaged: hashes are computed again.
  }
  return Json::object();
}

/// Whatever goes wrong costs time later, nothing else.
void write_cache(const fs::path& file, Json cache) {
  while (cache.size() > kMostEntries) cache.erase(cache.begin());
  try {
    fs::create_directories(file.parent_path());
    write_text_file(file, seal(std::move(cache)));
  } catch (const std::exception&) {
  }
}

}  // namespace

FileHashCache::FileHashCache() : FileHashCache(default_cache()) {}
FileHashCache::FileHashCache(fs::path cache_file) : cache_file_(std::move(cache_file)) {}

std::string FileHashCache::hash(const fs::path& file, const StepSink& on_step) {
  struct stat status {};
  if (cache_file_.empty() || ::stat(file.c_str(), &status) != 0) {
    return sha256_of_file(file, on_step);
  }
  std::error_code error;
  const fs::path whole = fs::canonical(file, error);
  const std::string key = error ? fs::absolute(file).string() : whole.string();
  const Json stamp = {
      {"bytes", status.st_size}, {"seconds", status.st_mtim.tv_sec}, {"nanoseconds", status.st_mtim.tv_nsec}};
  const Json cache = read_cache(cache_file_);
  if (cache.contains(key) && cache[key].value("stamp", Json()) == stamp) {
    return cache[key].value("sha256", std::string());
  }
  const std::string hash = sha256_of_file(file, on_step);
  struct stat after {};
  const bool same = ::stat(file.c_str(), &after) == 0 && after.st_size == status.st_size &&
                    after.st_mtim.tv_sec == status.st_mtim.tv_sec &&
                    after.st_mtim.tv_nsec == status.st_mtim.tv_nsec;
  if (same && std::time(nullptr) - status.st_mtim.tv_sec >= kSettledSeconds) {
    // Read again: another run may have added to it meanwhile.
    Json newer = read_cache(cache_file_);
    newer[key] = {{"stamp", stamp}, {"sha256", hash}};
    write_cache(cache_file_, std::move(newer));
  }
  return hash;
}

}  // namespace latentcast
