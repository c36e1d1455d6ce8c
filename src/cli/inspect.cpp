#include <cstdio>
#include <filesystem>
#include <iostream>
#include <optional>

#include "commands.h"
#include <CLI/CLI.hpp>

#include "latentcast/error.h"
#include "latentcast/progress/checkpoint_reader.h"
#include "latentcast/progress/durable_file.h"
#include "latentcast/progress/run_directory.h"
#include "latentcast/progress/segment_manifest.h"
#include "latentcast/progress/tensor_listing.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

std::string size_text(int64_t bytes) {
  constexpr double kKib = 1024;
  char text[40];
  const auto size = static_cast<double>(bytes);
  if (size >= kKib * kKib * kKib) {
    std::snprintf(text, sizeof text, "%.2f GiB", size / (kKib * kKib * kKib));
  } else if (size >= kKib * kKib) {
    std::snprintf(text, sizeof text, "%.2f MiB", size / (kKib * kKib));
  } else {
    std::snprintf(text, sizeof text, "%lld bytes", static_cast<long long>(bytes));
  }
  return text;
}

std::string count_text(int64_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

/// A run's folder, looked at line by line; remembers whether anything in it is damaged.
class RunInspector {
 public:
  RunInspector(const RunPaths& paths, bool quick) : paths_(paths), quick_(quick) {}

  bool inspect() {
    std::cout << paths_.root.string() << "\n";
    show_lock();
    show_identity();
    show_segments();
    show_checkpoints();
    show_next();
    return whole_;
  }

 private:
  static void line(const std::string& name, const std::string& text) {
    std::cout << "  " << name << std::string(name.size() < 12 ? 12 - name.size() : 1, ' ') << text << "\n";
  }
  void damage(const std::string& name, const std::string& text) {
    line(name, text);
    whole_ = false;
  }

  void show_lock() {
    const std::string holder = RunLock::holder(paths_.lock());
    line("in use", holder.empty() ? "no" : "by " + holder);
  }

  void show_identity() {
    try {
      identity_ = identity_from_json(read_text_file(paths_.identity()), paths_.identity()).hash();
      line("job", identity_.substr(0, 16) + " (job.yaml, identity.json)");
    } catch (const InputError& error) {
      damage("job", error.what());
    }
  }

  void show_segments() {
    try {
      manifest_ = read_segment_manifest(paths_);
    } catch (const InputError& error) {
      damage("segments", error.what());
      return;
    }
    if (!manifest_) {
      line("segments", "none yet");
      return;
    }
    int64_t frames = 0, bytes = 0;
    std::vector<std::string> damages;
    for (const SegmentEntry& entry : manifest_->segments) {
      frames += entry.frames;
      bytes += entry.bytes;
      const std::string found = quick_ ? "" : segment_damage(paths_, entry);
      if (!found.empty()) damages.push_back(entry.file + " " + found);
    }
    const std::string all = manifest_->clips > 0 ? " of " + std::to_string(manifest_->clips) : "";
    line("segments", std::to_string(manifest_->segments.size()) + all + ", " + count_text(frames, "frame") +
                         ", " + size_text(bytes) + verdict(damages.empty()));
    for (const std::string& found : damages) damage("", found);
    if (manifest_->may_differ_from) {
      line("",
           "from clip " + std::to_string(*manifest_->may_differ_from) +
               " on not the bytes of an undisturbed run: continued from a light checkpoint or on another GPU "
               "model");
    }
    if (manifest_->video) {
      show_video(*manifest_->video);
    }
  }

  void show_video(const FinishedVideo& video) {
    const std::string found = quick_ ? "" : file_damage(video.file, video.bytes, video.sha256);
    line("video", video.file.string() + ", " + count_text(video.frames, "frame") + verdict(found.empty()));
    if (!found.empty()) damage("", "it " + found);
  }

  std::string verdict(bool whole) const { return quick_ ? "" : whole ? ", verified" : ", damaged:"; }

  void show_checkpoints() {
    const std::vector<int64_t> positions = checkpoint_positions(paths_);
    if (positions.empty()) line("checkpoint", "none");
    for (const int64_t position : positions) {
      const std::string name = paths_.checkpoint(position).filename().string();
      try {
        const CheckpointReader reader(paths_.checkpoint(position));
        line("checkpoint", name + ": " + describe(reader.manifest()));
        if (!quick_) reader.verify();
      } catch (const InputError& error) {
        damage("", name + ": " + error.what());
      }
    }
  }

  static std::string describe(const CheckpointManifest& manifest) {
    int64_t bytes = 0;
    for (const CheckpointFile& file : manifest.files) bytes += file.bytes;
    return "continues with clip " + std::to_string(manifest.position) + ", " +
           (manifest.strength == CheckpointStrength::kLight ? "light" : "exact") + ", " +
           count_text(static_cast<int64_t>(manifest.files.size()), "file") + ", " + size_text(bytes) + ", " +
           manifest.dtype + " on " + manifest.device;
  }

  void show_next() {
    switch (run_state(paths_)) {
      case RunState::kFinished:
        return line("next", "nothing: the run is finished");
      case RunState::kRendered:
        return line("next", "the same command line joins the segments");
      case RunState::kFresh:
        return line("next", "the same command line begins with clip 0");
      case RunState::kResumable:
        return show_resume();
    }
  }

  void show_resume() {
    try {
      const FoundCheckpoint found =
          quick_ ? find_checkpoint(paths_, identity_) : find_verified_checkpoint(paths_, identity_);
      for (const std::string& note : found.notes) damage("", note);
      line("next", "the same command line continues with clip " + std::to_string(found.position.value_or(0)) +
                       (is_light(found.position) ? ", not to the same bytes (light)" : ""));
    } catch (const InputError& error) {
      damage("next", std::string("a run here is refused: ") + error.what());
    }
  }

  bool is_light(const std::optional<int64_t>& position) const {
    return position &&
           CheckpointReader(paths_.checkpoint(*position)).manifest().strength == CheckpointStrength::kLight;
  }

  RunPaths paths_;
  bool quick_;
  bool whole_ = true;
  std::string identity_;
  std::optional<SegmentManifest> manifest_;
};

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

bool inspect_file(const fs::path& file, bool quick) {
  const TensorListing listing = list_tensors(file, !quick);
  bool whole = true;
  for (const auto& [name, value] : listing.attributes) std::cout << name << " = " << value << "\n";
  for (const ListedTensor& tensor : listing.tensors) {
    std::cout << tensor.name << "  " << tensor.type << " " << shape_text(tensor.shape) << "  "
              << size_text(tensor.bytes) << (tensor.damage.empty() ? "" : "  DAMAGED: " + tensor.damage)
              << "\n";
    whole = whole && tensor.damage.empty();
  }
  std::cout << count_text(static_cast<int64_t>(listing.tensors.size()), "tensor")
            << (quick   ? ""
                : whole ? ", verified"
                        : ", damaged")
            << "\n";
  return whole;
}

}  // namespace

int run_inspect(int argc, const char* const* argv, const MpiSession&) {
  CLI::App app{
      "Shows what a run's folder or one of its HDF5 files holds, and whether it verifies.\n"
      "Changes nothing, and may be used while the run goes on. Exit code 64 if something is damaged."};
  std::string path;
  bool quick = false;
  app.add_option("PATH", path, "A run's folder, or a file of a checkpoint or conditions.h5")->required();
  app.add_flag("--quick", quick, "Don't read whole files to verify them");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help("latentcast inspect");
    return 0;
  } catch (const CLI::ParseError& error) {
    throw InputError(std::string(error.what()) + "; see latentcast inspect --help");
  }
  if (!fs::exists(path)) throw InputError("there is no file or folder " + path);
  if (!fs::is_directory(path)) return inspect_file(path, quick) ? 0 : static_cast<int>(ExitCode::kInput);
  const RunPaths paths{fs::path(path)};
  if (!fs::exists(paths.job())) {
    throw InputError(path + " is no run's folder: it has no job.yaml");
  }
  return RunInspector(paths, quick).inspect() ? 0 : static_cast<int>(ExitCode::kInput);
}

}  // namespace latentcast
