#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "latentcast/progress/segment_manifest.h"

namespace latentcast {

enum class CheckpointStrength {
  kExact,  ///< caches and decoder state: continues to the same bits
  kLight,  ///< the last clips' latents: those clips are computed again for their caches
};

/// What a file of a checkpoint holds: the cache of one timestep over layers [begin, end), the decoder's
/// state, the last clips' latents as one timestep left them, or the small things of a render. By content, not
/// by rank: whoever owns it writes it.
struct CheckpointPart {
  enum class Kind { kTimestep, kDecoder, kLatents, kRender };
  Kind kind = Kind::kRender;
  int64_t timestep = 0, layers_begin = 0, layers_end = 0;

  static CheckpointPart of_timestep(int64_t timestep, int64_t layers_begin, int64_t layers_end) {
    return {Kind::kTimestep, timestep, layers_begin, layers_end};
  }
  static CheckpointPart decoder() { return {Kind::kDecoder}; }
  static CheckpointPart latents_after(int64_t timestep) { return {Kind::kLatents, timestep}; }
  static CheckpointPart render() { return {Kind::kRender}; }

  /// timestep-2.layers-10-19.h5 (both included), decoder.h5, latents-2.h5, render.h5
  std::string file_name() const;
  bool operator==(const CheckpointPart&) const = default;
};

/// A closed, durable file of a checkpoint.
struct CheckpointFile {
  CheckpointPart part;
  int64_t bytes = 0;
  std::string xxh3;  ///< of the whole file

  /// For sending to the rank that publishes.
  std::string to_json() const;
  static CheckpointFile from_json(const std::string& text);
};

/// manifest.json of a checkpoint.
struct CheckpointManifest {
  int format = 1;
  int64_t position = 0;  ///< the next clip; everything before it is in `segments`
  CheckpointStrength strength = CheckpointStrength::kExact;
  std::string identity;                ///< JobIdentity::hash()
  std::string device;                  ///< GPU's or CPU's model: on another one equal bits are not promised
  std::string dtype;                   ///< float32 or bf16
  std::string layout;                  ///< layout.json of the run that wrote it; another may continue
  int64_t timesteps = 0, layers = 0;   ///< together the kExact files hold all of these
  int64_t replay_from = 0;             ///< kLight: the first clip whose latents it holds
  std::vector<SegmentEntry> segments;  ///< of clips 0 … position − 1
  std::vector<CheckpointFile> files;

  /// Ends with a checksum of itself.
  std::string to_json() const;
  /// Throws InputError naming `file` and what is wrong, a change of any byte included.
  static CheckpointManifest from_json(const std::string& text, const std::filesystem::path& file);
};

}  // namespace latentcast
