#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "latentcast/config/render_job.h"
#include "latentcast/progress/checksum.h"

namespace latentcast {

/// SHA-256 of large files, each computed in full once: kept by absolute path, size and time of change in
/// $XDG_CACHE_HOME/latentcast/file-hashes.json (else ~/.cache/latentcast/…), which runs share. A file that
/// was changed in the last two seconds isn't kept. A cache that can't be read or written is done without.
class FileHashCache {
 public:
  FileHashCache();
  explicit FileHashCache(std::filesystem::path cache_file);

  /// Throws InputError naming the file if it can't be read.
  std::string hash(const std::filesystem::path& file, const StepSink& on_step = {});
  /// Of all files, in their order; those that aren't known are read side by side, a thread each. `on_step` is
  /// called by this thread.
  std::vector<std::string> hash_all(const std::vector<std::filesystem::path>& files,
                                    const StepSink& on_step = {});

 private:
  std::filesystem::path cache_file_;
};

/// A file whose bytes the video depends on. `role`: the option, or for a model's file its name in the
/// checkpoint's folder.
struct IdentifiedFile {
  std::string role;
  std::filesystem::path path;  ///< may differ between two runs of one job
  int64_t bytes = 0;
  std::string sha256;
};

/// What must be the same for a run to be continued: every content field of the job by its value, and by
/// their bytes the inputs and weights that it names.
struct JobIdentity {
  std::vector<std::pair<std::string, std::string>> fields;  ///< name, value; in the option table's order
  std::vector<IdentifiedFile> inputs, weights;

  /// SHA-256 over all of it but the paths.
  std::string hash() const;
  std::string to_json() const;
};

/// Reads inputs and weights in full (weights once: see FileHashCache). `device`: cpu or cuda, `dtype`:
/// float32 or bf16, as decided; they stand in for the job's `auto`. `on_step`: reading the weights for the
/// first time takes minutes. Throws InputError for a file.
JobIdentity identify(const RenderJob& job, const std::string& device, const std::string& dtype,
                     FileHashCache& cache, const StepSink& on_step = {});

/// Throws InputError naming the file if it is damaged.
JobIdentity identity_from_json(const std::string& text, const std::filesystem::path& file);

/// What keeps a run from being continued, a phrase each ("base_seed was 1, is 2", "image speaker.png has
/// changed"); empty if nothing does.
std::vector<std::string> differences(const JobIdentity& before, const JobIdentity& now);

}  // namespace latentcast
