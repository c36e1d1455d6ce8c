#include "latentcast/pipeline/run_directory.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "latentcast/config/options.h"
#include "latentcast/error.h"

namespace latentcast {
namespace fs = std::filesystem;

void write_text_file(const fs::path& target, const std::string& text) {
  fs::path part = target;
  part += ".part";
  std::ofstream file(part, std::ios::binary);
  file << text;
  file.close();
  std::error_code error;
  if (file) {
    fs::rename(part, target, error);
  }
  if (!file || error) {
    const std::string reason = error ? error.message() : std::strerror(errno);
    fs::remove(part, error);
    throw OutputError(target.string() + ": can't be written: " + reason +
                      "; free some space and run again, or choose another place");
  }
}

RunDirectory::RunDirectory(const RenderJob& job)
    : path_(job.run_dir), video_(job.save_file.empty() ? job.run_dir / "video.mp4" : job.save_file) {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) {
    throw OutputError("--run_dir " + path_.string() + ": can't make this folder: " + error.message() +
                      "; choose another place or change its rights");
  }
  const fs::path written = path_ / "job.yaml";
  if (fs::exists(written)) {
    const std::vector<std::string> changed = differing_fields(from_yaml(written), job, Identity::kContent);
    if (!changed.empty()) {
      throw InputError("--run_dir " + path_.string() + " holds another job (differs in " + changed.front() +
                       "); choose another folder or remove this one");
    }
  }
  write_text_file(path_ / "job.yaml", to_yaml(job));
}

}  // namespace latentcast
