#include "run_start.h"

#include <string>
#include <vector>

#include "shared_values.h"

#include "latentcast/comm/coordinate.h"
#include "latentcast/error.h"
#include "latentcast/progress/job_identity.h"

namespace latentcast {
namespace {

constexpr int64_t kNone = -1;

/// Why this rank's share of the checkpoint can't be used; empty if it can.
std::string damage(const RankSetup& setup, std::optional<CheckpointReader>& reader, int64_t position,
                   const Communicator& control) {
  try {
    reader.emplace(RunPaths(setup.job).checkpoint(position));
    Activity& activity = setup.activity->main;
    activity.begin("verifying the checkpoint");
    reader->verify(control.rank(), control.size(), [&] { activity.advance(); });
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

/// Where the newest checkpoint that isn't known to be damaged begins.
int64_t newest(const RunDirectory& folder, const RunStart& start,
               const std::vector<DamagedCheckpoint>& damaged, const NoteSink& note) {
  const FoundCheckpoint found = find_checkpoint(folder.paths(), start.identity, damaged);
  for (const std::string& line : found.notes) {
    note(line);
  }
  return found.position.value_or(kNone);
}

void choose_checkpoint(const RankSetup& setup, Communicator& control, const RunDirectory* folder,
                       const NoteSink& note, RunStart& start) {
  std::vector<DamagedCheckpoint> damaged;
  for (;;) {
    const int64_t position = std::stoll(share_text(
        std::to_string(coordinate(
            control, [&] { return folder != nullptr ? newest(*folder, start, damaged, note) : kNone; })),
        control));
    if (position == kNone) {
      return;
    }
    std::string reason;
    for (const std::string& own :
         gather_strings(control, damage(setup, start.checkpoint, position, control))) {
      reason = reason.empty() ? own : reason;
    }
    if (reason.empty()) {
      return;
    }
    start.checkpoint.reset();
    damaged.push_back({position, reason});
  }
}

}  // namespace

RunStart start_run(const RankSetup& setup, Communicator& control, std::optional<RunDirectory>& folder,
                   const NoteSink& note) {
  RunStart start;
  coordinate(control, [&] {
    if (!setup.is_root()) {
      return;
    }
    folder.emplace(setup.job);
    for (const std::string& line : folder->notes()) {
      note(line);
    }
    FileHashCache hashes;
    // The first time the model's files are read in full: minutes, on a slow disk.
    Activity& activity = setup.activity->main;
    activity.begin("reading the model's files for their checksums");
    const JobIdentity identity =
        identify(setup.job, setup.device.is_cuda() ? "cuda" : "cpu",
                 setup.device.dtype == at::kFloat ? "float32" : "bf16", hashes, [&] { activity.advance(); });
    start.identity = identity.hash();
    start.state = folder->begin(identity);
  });
  start.identity = share_text(start.identity, control);
  start.state =
      static_cast<RunState>(std::stoi(share_text(std::to_string(static_cast<int>(start.state)), control)));
  if (start.state == RunState::kResumable) {
    choose_checkpoint(setup, control, folder ? &*folder : nullptr, note, start);
  }
  return start;
}

}  // namespace latentcast
