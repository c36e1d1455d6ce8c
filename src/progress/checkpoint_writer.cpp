#include "latentcast/progress/checkpoint_writer.h"

#include <algorithm>

#include "tensor_file.h"

#include "latentcast/error.h"
#include "latentcast/progress/checkpoint_reader.h"
#include "latentcast/progress/checksum.h"
#include "latentcast/progress/durable_file.h"
#include "latentcast/progress/pause_point.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

constexpr size_t kKept = 2;
constexpr const char* kManifest = "manifest.json";

void remove_folder(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) throw_output_error(folder, error.value());
}

/// The folders that a run left behind in the middle of writing.
void sweep_unfinished(const RunPaths& paths) {
  std::vector<fs::path> stale;
  for (const fs::directory_entry& entry : fs::directory_iterator(paths.checkpoints())) {
    if (entry.path().extension() == ".part" || entry.path().extension() == ".old") {
      stale.push_back(entry.path());
    }
  }
  for (const fs::path& folder : stale) remove_folder(folder);
}

/// A finished checkpoint loses its name before its contents: it is there whole or not at all.
void retire(const fs::path& folder) {
  fs::path old = folder;
  old += ".old";
  remove_folder(old);
  if (std::rename(folder.c_str(), old.c_str()) != 0) throw_output_error(folder, errno);
  remove_folder(old);
}

void require_whole(const fs::path& folder, const CheckpointManifest& manifest) {
  for (const CheckpointFile& file : manifest.files) {
    const fs::path path = folder / file.part.file_name();
    std::error_code error;
    const auto size = static_cast<int64_t>(fs::file_size(path, error));
    if (error) throw_output_error(path, error.value());
    if (size != file.bytes) {
      throw OutputError(path.string() + " has " + std::to_string(size) + " bytes, " +
                        std::to_string(file.bytes) + " were written; check the file system, then run again");
    }
  }
}

}  // namespace

void begin_checkpoint(const RunPaths& paths, int64_t position) {
  make_folders(paths.checkpoints());
  sweep_unfinished(paths);
  const fs::path part = paths.checkpoint_part(position);
  std::error_code error;
  if (!fs::create_directory(part, error)) throw_output_error(part, error.value());
}

void publish_checkpoint(const RunPaths& paths, const CheckpointManifest& manifest) {
  const fs::path part = paths.checkpoint_part(manifest.position);
  const fs::path whole = paths.checkpoint(manifest.position);
  require_whole(part, manifest);
  write_text_file(part / kManifest, manifest.to_json());  // also syncs the folder
  pause_point("checkpoint-written");
  if (fs::exists(whole)) {
    // A run that fell back to an older checkpoint comes here again.
    retire(whole);
  }
  rename_durably(part, whole);
  pause_point("checkpoint-renamed");
  const std::vector<int64_t> positions = checkpoint_positions(paths);
  for (size_t i = kKept; i < positions.size(); ++i) {
    retire(paths.checkpoint(positions[i]));
  }
}

class CheckpointFileWriter::Impl {
 public:
  Impl(const RunPaths& paths, int64_t position, const CheckpointPart& part)
      : part_(part), file_(paths.checkpoint_part(position) / part.file_name()) {}

  TensorFileWriter& file() { return file_; }

  CheckpointFile close() {
    file_.close();
    pause_point("checkpoint-file-closed");
    std::error_code error;
    return {part_, static_cast<int64_t>(fs::file_size(file_.path(), error)), xxh3_of_output(file_.path())};
  }

 private:
  CheckpointPart part_;
  TensorFileWriter file_;
};

CheckpointFileWriter::CheckpointFileWriter(const RunPaths& paths, int64_t position,
                                           const CheckpointPart& part)
    : impl_(std::make_unique<Impl>(paths, position, part)) {}
CheckpointFileWriter::~CheckpointFileWriter() = default;

void CheckpointFileWriter::add_parts(const std::string& name, const std::vector<at::Tensor>& parts) {
  impl_->file().add_parts(name, parts);
  pause_point("checkpoint-writing");
}

void CheckpointFileWriter::add_number(const std::string& name, int64_t value) {
  impl_->file().add_number(name, value);
}

CheckpointFile CheckpointFileWriter::close() { return impl_->close(); }

}  // namespace latentcast
