// Places that can't be written to.

#include "bad_input.h"
#include "files.h"

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using Damage = std::function<void(TinyJob&)>;

constexpr int kInput = 64;
constexpr int kOutput = 74;

/// Every writer writes NAME.part first: what leads to a full disk there is one for it.
Damage no_space_for(const std::string& file) {
  return [=](TinyJob& job) {
    const fs::path part = (job.run_dir() / file).string() + ".part";
    fs::create_directories(part.parent_path());
    fs::create_symlink("/dev/full", part);
  };
}

/// A run directory in which the same job was begun with another seed.
void another_job(TinyJob& job) {
  std::string lines;
  for (const auto& [option, value] : job.options) {
    lines += option + ": \"" + (option == "base_seed" ? "2" : value) + "\"\n";
  }
  lines += "lora_path_dmd: \"" + job.checkpoint("liveavatar.safetensors").string() + "\"\n";
  fs::create_directories(job.run_dir());
  write_bytes(job.run_dir() / "job.yaml", lines);
}

}  // namespace

std::vector<BadInput> bad_places() {
  return {
      {"RunDirIsAFile",
       [](TinyJob& job) { job.options["run_dir"] = job.path("speech.wav"); },
       {"--run_dir", "speech.wav", "is a file", "Name a folder"},
       kInput},
      {"RunDirBelowAFile",
       [](TinyJob& job) { job.options["run_dir"] = job.path("speech.wav") / "run"; },
       {"--run_dir", "speech.wav/run", "Not a directory", "choose another place"},
       kOutput},
      {"RunDirInProc",
       [](TinyJob& job) { job.options["run_dir"] = "/proc/latentcast"; },
       {"--run_dir", "/proc/latentcast", "choose another place"},
       kOutput},
      {"RunDirHoldsAnotherJob",
       another_job,
       {"--run_dir", "holds another job", "base_seed", "choose another folder or remove"},
       kInput},
      {"RunDirHoldsADamagedJob",
       [](TinyJob& job) {
         fs::create_directories(job.run_dir());
         write_bytes(job.run_dir() / "job.yaml", "crf: [1, 2\n");
       },
       {"run/job.yaml", "not valid YAML"},
       kInput},
      {"SegmentsIsAFile",
       [](TinyJob& job) {
         fs::create_directories(job.run_dir());
         write_bytes(job.run_dir() / "segments", "");
       },
       {"run/segments", "remove what is in its place"},
       kOutput},
      {"SaveFileInAMissingFolder",
       [](TinyJob& job) { job.options["save_file"] = job.path("none/video.mp4"); },
       {"--save_file", "none", "there is no folder", "Create it"},
       kInput},
      {"SaveFileIsAFolder",
       [](TinyJob& job) { job.options["save_file"] = job.path("checkpoint"); },
       {"--save_file", "is a folder", "Name a file in it"},
       kInput},
      {"TraceInAMissingFolder",
       [](TinyJob& job) { job.options["trace"] = job.path("none/trace.safetensors"); },
       {"--trace", "none", "there is no folder", "Create it"},
       kInput},
      {"TraceInProc",
       [](TinyJob& job) { job.options["trace"] = "/proc/self/trace.safetensors"; },
       {"/proc/self", "choose another place"},
       kOutput},
      {"NoSpaceForTheJob",
       no_space_for("job.yaml"),
       {"run/job.yaml", "No space left", "free some space and run again"},
       kOutput},
      {"NoSpaceForTheSound",
       no_space_for("sound.aac"),
       {"run/sound.aac", "No space left", "free some space and run again"},
       kOutput},
      {"NoSpaceForASegment",
       no_space_for("segments/000000.ts"),
       {"run/segments/000000.ts", "No space left", "free some space and run again"},
       kOutput},
      {"NoSpaceForTheVideo",
       no_space_for("video.mp4"),
       {"run/video.mp4", "No space left", "free some space and run again"},
       kOutput},
  };
}

}  // namespace latentcast::test
