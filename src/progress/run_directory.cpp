#include "latentcast/progress/run_directory.h"

#include <algorithm>
#include <cstdio>

#include "latentcast/config/options.h"
#include "latentcast/error.h"
#include "latentcast/progress/durable_file.h"
#include "latentcast/progress/segment_manifest.h"
#include "latentcast/progress/stop_requests.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::string size_text(int64_t bytes) {
  constexpr double kMebi = 1024.0 * 1024;
  const auto size = static_cast<double>(bytes);
  const bool large = size >= 1024 * kMebi;
  char text[40];
  std::snprintf(text, sizeof text, large ? "%.2f GiB" : "%.2f MiB", size / (large ? 1024 * kMebi : kMebi));
  return text;
}

[[noreturn]] void refuse_other_job(const RunPaths& paths, const std::string& difference) {
  throw InputError("--run_dir " + paths.root.string() + " holds another job (" + difference +
                   "); choose another folder or remove this one");
}

/// What can be said before files are read in full; their bytes and what `auto` stands for come later. An
/// earlier prompt's file may be gone.
void require_same_fields(const RunPaths& paths, const RenderJob& job) {
  RenderJob earlier = from_yaml(paths.job());
  if (!earlier.prompt && !is_there(earlier.prompt_file)) {
    earlier.prompt = prompt_text(job);
  }
  const auto before = content_fields(earlier);
  const auto now = content_fields(job);
  for (size_t i = 0; i < now.size(); ++i) {
    const bool undecided = before[i].second == "auto" || now[i].second == "auto";
    if (before[i].second != now[i].second && !undecided) {
      refuse_other_job(paths, "differs in " + now[i].first);
    }
  }
}

bool is_checkpoint(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  return name.starts_with("clip-") && !name.ends_with(".part");
}

bool any_checkpoint(const RunPaths& paths) {
  std::error_code error;
  const fs::directory_iterator folder(paths.checkpoints(), error);
  return !error && std::any_of(begin(folder), end(folder), is_checkpoint);
}

/// Whether more clips are wanted than the earlier run was asked for.
bool is_extended(const RenderJob& before, const RenderJob& now) {
  return before.num_clip && (!now.num_clip || *now.num_clip > *before.num_clip);
}

/// The earlier end is none any more; said before job.yaml asks for more clips, so that a kill in between
/// changes nothing.
void reopen(const RunPaths& paths) {
  try {
    if (auto manifest = read_segment_manifest(paths)) {
      manifest->clips = 0;
      manifest->video.reset();
      write_text_file(paths.segment_manifest(), manifest->to_json());
    }
  } catch (const InputError&) {
    // Damaged: it says nothing about an end, and is written anew when segments are.
  }
}

}  // namespace

void adopt_earlier_choices(RenderJob& job) {
  const fs::path folder = known_run_dir(job);
  if (folder.empty() || !is_there(RunPaths(folder).job())) {
    return;
  }
  const RenderJob before = from_yaml(RunPaths(folder).job());
  if (!job.base_seed) job.base_seed = before.base_seed;
  if (job.threads == 0) job.threads = before.threads;
  if (job.vram) {
    // A budget chose these then; another one mustn't choose others.
    job.fp8 = job.fp8 || before.fp8;
    if (job.kv_dtype == "auto") job.kv_dtype = before.kv_dtype;
  }
}

RunDirectory::RunDirectory(const RenderJob& job) : job_(job), paths_(job) {
  std::error_code error;
  fs::create_directories(paths_.root, error);
  if (error) {
    throw OutputError("--run_dir " + paths_.root.string() + ": can't make this folder: " + error.message() +
                      "; choose another place or change its rights");
  }
  lock_.emplace(paths_.lock());
  if (!lock_->warning().empty()) {
    notes_.push_back(lock_->warning());
  }
  if (is_there(paths_.stop_file())) {
    throw InputError(paths_.stop_file().string() + " asks for a stop before anything has begun; remove it");
  }
  if (is_there(paths_.job())) {
    require_same_fields(paths_, job);
  }
}

RunState RunDirectory::begin(const JobIdentity& identity) {
  if (is_there(paths_.identity())) {
    const JobIdentity before = identity_from_json(read_text_file(paths_.identity()), paths_.identity());
    const std::vector<std::string> changed = differences(before, identity);
    if (!changed.empty()) {
      refuse_other_job(paths_, changed.front());
    }
  }
  const bool extended = is_there(paths_.job()) && is_extended(from_yaml(paths_.job()), job_);
  if (extended) {
    reopen(paths_);
  }
  const RunState state = run_state(paths_);
  write_text_file(paths_.identity(), identity.to_json());
  write_text_file(paths_.job(), to_yaml(job_));
  return state;
}

RunState run_state(const RunPaths& paths) {
  std::optional<SegmentManifest> manifest;
  try {
    manifest = read_segment_manifest(paths);
  } catch (const InputError&) {
    // A checkpoint knows the segments before it; who opens the store says that this is damaged.
  }
  const bool whole =
      manifest && manifest->clips > 0 && static_cast<int64_t>(manifest->segments.size()) >= manifest->clips;
  std::error_code error;
  if (whole && manifest->video && manifest->video->file == fs::absolute(paths.video) &&
      static_cast<int64_t>(fs::file_size(paths.video, error)) == manifest->video->bytes && !error) {
    return RunState::kFinished;
  }
  if (whole) return RunState::kRendered;
  return any_checkpoint(paths) ? RunState::kResumable : RunState::kFresh;
}

int64_t bytes_of_checkpoints(const RunPaths& paths) {
  int64_t bytes = 0;
  std::error_code error;
  fs::recursive_directory_iterator entry(paths.checkpoints(), error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code gone;
    const bool is_file = entry->is_regular_file(gone);
    bytes += is_file ? static_cast<int64_t>(entry->file_size(gone)) : 0;
  }
  return bytes;
}

void check_room(const RunPaths& paths, int64_t bytes, const std::string& what) {
  const int64_t free = free_bytes(paths.root), taken = bytes_of_checkpoints(paths);
  if (free + taken < bytes) {
    throw OutputError(paths.root.string() + ": " + what + " take " + size_text(bytes) + ", the disk has " +
                      size_text(free) +
                      (taken > 0 ? " besides " + size_text(taken) + " of earlier ones" : "") +
                      "; free some space or choose another --run_dir");
  }
}

}  // namespace latentcast
