#include <atomic>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <future>
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

/// Which content a path had at a moment.
struct Stamp {
  std::string key;  ///< the absolute path; empty if there is no such file
  Json json;
  int64_t changed = 0;  ///< seconds since 1970
  bool operator==(const Stamp& other) const { return key == other.key && json == other.json; }
};

Stamp stamp_of(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return {};
  std::error_code error;
  const fs::path whole = fs::canonical(file, error);
  return {error ? fs::absolute(file).string() : whole.string(),
          {{"bytes", status.st_size},
           {"seconds", status.st_mtim.tv_sec},
           {"nanoseconds", status.st_mtim.tv_nsec}},
          status.st_mtim.tv_sec};
}

/// A file whose hash is asked for.
struct Wanted {
  fs::path file;
  Stamp stamp;                      ///< from before it is read
  std::future<std::string> coming;  ///< if it is being read
};

/// Empty if the cache doesn't know it.
std::string known(const Json& cache, const Wanted& one) {
  const auto found = cache.find(one.stamp.key);
  return found != cache.end() && found->value("stamp", Json()) == one.stamp.json
             ? found->value("sha256", std::string())
             : std::string();
}

/// Passes on that something is read, on this thread.
std::string wait_for(std::future<std::string>& coming, std::atomic<int>& steps, const StepSink& on_step) {
  constexpr std::chrono::milliseconds kBetweenSteps(100);
  bool ready = false;
  while (!ready) {
    ready = coming.wait_for(kBetweenSteps) == std::future_status::ready;
    for (int count = steps.exchange(0); on_step && count > 0; --count) on_step();
  }
  return coming.get();
}

/// Keeps what was read, unless it was changed meanwhile or just before.
void remember(const fs::path& file, const std::vector<Wanted>& wanted,
              const std::vector<std::string>& hashes) {
  std::optional<Json> newer;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Stamp& stamp = wanted[i].stamp;
    const bool settled = std::time(nullptr) - stamp.changed >= kSettledSeconds;
    if (stamp.key.empty() || !settled || !(stamp_of(wanted[i].file) == stamp)) continue;
    if (!newer) newer = read_cache(file);  // again: another run may have added to it meanwhile
    (*newer)[stamp.key] = {{"stamp", stamp.json}, {"sha256", hashes[i]}};
  }
  if (newer && *newer != read_cache(file)) write_cache(file, std::move(*newer));
}

}  // namespace

FileHashCache::FileHashCache() : FileHashCache(default_cache()) {}
FileHashCache::FileHashCache(fs::path cache_file) : cache_file_(std::move(cache_file)) {}

std::string FileHashCache::hash(const fs::path& file, const StepSink& on_step) {
  return hash_all({file}, on_step).front();
}

std::vector<std::string> FileHashCache::hash_all(const std::vector<fs::path>& files,
                                                 const StepSink& on_step) {
  const Json cache = cache_file_.empty() ? Json::object() : read_cache(cache_file_);
  std::atomic<int> steps = 0;
  std::vector<Wanted> wanted;
  for (const fs::path& file : files) {
    wanted.push_back({file, stamp_of(file), {}});
    if (!known(cache, wanted.back()).empty()) continue;
    wanted.back().coming =
        std::async(std::launch::async, [file, &steps] { return sha256_of_file(file, [&] { ++steps; }); });
  }
  std::vector<std::string> hashes;
  for (Wanted& one : wanted) {
    hashes.push_back(one.coming.valid() ? wait_for(one.coming, steps, on_step) : known(cache, one));
  }
  if (!cache_file_.empty()) remember(cache_file_, wanted, hashes);
  return hashes;
}

}  // namespace latentcast
