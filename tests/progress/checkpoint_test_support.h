#pragma once

#include "progress_test_support.h"
#include <ATen/ATen.h>

#include "latentcast/progress/checkpoint_reader.h"
#include "latentcast/progress/checkpoint_writer.h"
#include "latentcast/progress/checksum.h"
#include "latentcast/progress/durable_file.h"

namespace latentcast::test {

/// A cache that differs with position, timestep and layer.
inline at::Tensor sample_cache(int64_t position, int64_t timestep, int64_t layer, at::ScalarType type) {
  const double start = static_cast<double>(position * 100 + timestep * 10 + layer);
  return (at::arange(60, at::kDouble) + start).div(7).reshape({3, 4, 5}).to(type);
}

/// Segments 0 … count − 1 on the disk, and their entries.
inline std::vector<SegmentEntry> sample_segments(const RunPaths& paths, int64_t count) {
  std::filesystem::create_directories(paths.segments());
  std::vector<SegmentEntry> entries;
  for (int64_t clip = 0; clip < count; ++clip) {
    const std::string contents = "segment " + std::to_string(clip), name = std::to_string(clip) + ".ts";
    write_text_file(paths.segments() / name, contents);  // whole, whoever is killed
    entries.push_back({clip, name, 48, static_cast<int64_t>(contents.size()), sha256(contents)});
  }
  return entries;
}

constexpr int64_t kTimesteps = 2, kLayers = 3;

/// The files of a small checkpoint as ranks write them: the first timestep whole, the second cut in two.
inline std::vector<CheckpointFile> write_parts(const RunPaths& paths, int64_t position) {
  std::vector<CheckpointFile> files;
  const auto timestep_file = [&](int64_t timestep, int64_t begin, int64_t end) {
    CheckpointFileWriter writer(paths, position, CheckpointPart::of_timestep(timestep, begin, end));
    for (int64_t layer = begin; layer < end; ++layer) {
      const std::string group = "layer-" + std::to_string(layer);
      writer.add(group + "/key", sample_cache(position, timestep, layer, at::kBFloat16));
      writer.add(group + "/value", sample_cache(position, timestep, layer + 50, at::kBFloat16));
    }
    writer.add_number("filled", 3);
    files.push_back(writer.close());
  };
  timestep_file(0, 0, 3);
  timestep_file(1, 0, 1);
  timestep_file(1, 1, 3);
  CheckpointFileWriter decoder(paths, position, CheckpointPart::decoder());
  decoder.add("cache-0", sample_cache(position, 7, 0, at::kFloat));
  files.push_back(decoder.close());
  CheckpointFileWriter render(paths, position, CheckpointPart::render());
  render.add("first_latent", sample_cache(position, 8, 0, at::kFloat));
  files.push_back(render.close());
  return files;
}

inline CheckpointManifest sample_manifest(int64_t position, std::vector<SegmentEntry> segments,
                                          std::vector<CheckpointFile> files) {
  CheckpointManifest manifest;
  manifest.position = position;
  manifest.identity = "the job";
  manifest.device = "a CPU";
  manifest.dtype = "bf16";
  manifest.layout = "{\"pipelines\": 1}";
  manifest.timesteps = kTimesteps;
  manifest.layers = kLayers;
  manifest.segments = std::move(segments);
  manifest.files = std::move(files);
  return manifest;
}

/// A whole checkpoint, from beginning to name.
inline void write_checkpoint(const RunPaths& paths, int64_t position) {
  begin_checkpoint(paths, position);
  publish_checkpoint(
      paths, sample_manifest(position, sample_segments(paths, position), write_parts(paths, position)));
}

/// Throws unless everything in it reads back as it was written.
inline void read_checkpoint(const RunPaths& paths, int64_t position) {
  const CheckpointReader reader(paths.checkpoint(position));
  reader.verify();
  const auto expect = [&](const CheckpointPart& part, const std::string& name, const at::Tensor& expected) {
    const at::Tensor stored = reader.read(part, name);
    if (stored.scalar_type() != expected.scalar_type() || !at::equal(stored, expected)) {
      throw InternalError("SILENTLY WRONG: " + part.file_name() + " " + name);
    }
  };
  for (int64_t timestep = 0; timestep < kTimesteps; ++timestep) {
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      const CheckpointPart part = reader.holding(timestep, layer);
      const std::string group = "layer-" + std::to_string(layer);
      expect(part, group + "/key", sample_cache(position, timestep, layer, at::kBFloat16));
      expect(part, group + "/value", sample_cache(position, timestep, layer + 50, at::kBFloat16));
      if (reader.number(part, "filled") != 3) throw InternalError("SILENTLY WRONG: filled");
    }
  }
  expect(CheckpointPart::decoder(), "cache-0", sample_cache(position, 7, 0, at::kFloat));
  expect(CheckpointPart::render(), "first_latent", sample_cache(position, 8, 0, at::kFloat));
}

}  // namespace latentcast::test
