#include <algorithm>
#include <charconv>

#include "latentcast/error.h"
#include "latentcast/progress/checkpoint_reader.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

/// clip-000012 -> 12; nothing for other names, unfinished checkpoints among them.
std::optional<int64_t> position_of(const std::string& name) {
  constexpr std::string_view kPrefix = "clip-";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t position = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, position);
  if (error != std::errc{} || stop != end || position < 1) return std::nullopt;
  return position;
}

/// Of a light one.
void require_latents(const CheckpointReader& reader) {
  const CheckpointManifest& manifest = reader.manifest();
  for (int64_t timestep = 0; timestep < manifest.timesteps; ++timestep) {
    const CheckpointPart part = CheckpointPart::latents_after(timestep);
    if (!reader.has(part)) {
      throw InputError(reader.folder().string() + " lacks " + part.file_name());
    }
  }
}

/// Every timestep's every layer, once; the decoder's state and the render's.
void require_all_parts(const CheckpointReader& reader) {
  const CheckpointManifest& manifest = reader.manifest();
  if (!reader.has(CheckpointPart::render())) {
    throw InputError(reader.folder().string() + " lacks render.h5");
  }
  if (manifest.strength == CheckpointStrength::kLight) return require_latents(reader);
  if (!reader.has(CheckpointPart::decoder())) {
    throw InputError(reader.folder().string() + " lacks decoder.h5");
  }
  for (int64_t timestep = 0; timestep < manifest.timesteps; ++timestep) {
    for (int64_t layer = 0; layer < manifest.layers; ++layer) {
      reader.holding(timestep, layer);
    }
  }
}

void require_files(const CheckpointReader& reader) {
  for (const CheckpointFile& file : reader.manifest().files) {
    const fs::path path = reader.folder() / file.part.file_name();
    std::error_code error;
    const auto size = static_cast<int64_t>(fs::file_size(path, error));
    if (error) throw InputError(path.string() + " can't be read: " + error.message());
    if (size != file.bytes) {
      throw InputError(path.string() + " has " + std::to_string(size) + " bytes instead of " +
                       std::to_string(file.bytes));
    }
  }
}

void require_segments(const RunPaths& paths, const CheckpointManifest& manifest) {
  if (static_cast<int64_t>(manifest.segments.size()) != manifest.position) {
    throw InputError("it names " + std::to_string(manifest.segments.size()) + " segments for " +
                     std::to_string(manifest.position) + " clips");
  }
  for (const SegmentEntry& entry : manifest.segments) {
    const std::string damage = segment_damage(paths, entry);
    if (!damage.empty()) {
      throw InputError("the segment " + (paths.segments() / entry.file).string() + " " + damage);
    }
  }
}

/// Why this checkpoint can't be used; empty if it can.
std::string refusal(const RunPaths& paths, int64_t position, const std::string& identity) {
  try {
    const CheckpointReader reader(paths.checkpoint(position));
    const CheckpointManifest& manifest = reader.manifest();
    if (manifest.identity != identity) return "it belongs to another job";
    if (manifest.position != position) return "its manifest is another checkpoint's";
    require_all_parts(reader);
    require_files(reader);
    require_segments(paths, manifest);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "\n  " + line;
  return text;
}

}  // namespace

std::vector<int64_t> checkpoint_positions(const RunPaths& paths) {
  std::vector<int64_t> positions;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(paths.checkpoints(), error)) {
    if (const auto position = position_of(entry.path().filename().string())) {
      positions.push_back(*position);
    }
  }
  std::sort(positions.rbegin(), positions.rend());
  return positions;
}

FoundCheckpoint find_checkpoint(const RunPaths& paths, const std::string& identity,
                                const std::vector<DamagedCheckpoint>& damaged) {
  FoundCheckpoint found;
  for (const int64_t position : checkpoint_positions(paths)) {
    const auto known = std::find_if(damaged.begin(), damaged.end(),
                                    [&](const auto& entry) { return entry.position == position; });
    const std::string reason = known != damaged.end() ? known->reason : refusal(paths, position, identity);
    if (reason.empty()) {
      found.position = position;
      return found;
    }
    found.notes.push_back("the checkpoint before clip " + std::to_string(position) +
                          " can't be used: " + reason);
  }
  if (!found.notes.empty()) {
    throw InputError(paths.checkpoints().string() +
                     ": none of the checkpoints can be used:" + joined(found.notes) +
                     "\nBring back what was changed; or remove the folder to begin with the first clip again "
                     "(segments that come out the same stay)");
  }
  return found;
}

FoundCheckpoint find_verified_checkpoint(const RunPaths& paths, const std::string& identity) {
  std::vector<DamagedCheckpoint> damaged;
  while (true) {
    const FoundCheckpoint found = find_checkpoint(paths, identity, damaged);
    if (!found.position) return found;
    try {
      CheckpointReader(paths.checkpoint(*found.position)).verify();
      return found;
    } catch (const InputError& error) {
      damaged.push_back({*found.position, error.what()});
    }
  }
}

}  // namespace latentcast
