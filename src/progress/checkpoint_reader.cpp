#include "latentcast/progress/checkpoint_reader.h"

#include <algorithm>

#include "tensor_file.h"

#include "latentcast/error.h"
#include "latentcast/progress/checksum.h"
#include "latentcast/progress/durable_file.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

CheckpointManifest read_manifest(const fs::path& folder) {
  const fs::path file = folder / "manifest.json";
  return CheckpointManifest::from_json(read_text_file(file), file);
}

}  // namespace

CheckpointReader::CheckpointReader(const fs::path& folder)
    : folder_(folder), manifest_(read_manifest(folder)) {}

void CheckpointReader::verify(int share, int shares, const StepSink& on_step) const {
  for (size_t i = 0; i < manifest_.files.size(); ++i) {
    if (static_cast<int>(i % static_cast<size_t>(shares)) != share) continue;
    const CheckpointFile& file = manifest_.files[i];
    const fs::path path = folder_ / file.part.file_name();
    std::error_code error;
    const auto size = static_cast<int64_t>(fs::file_size(path, error));
    if (error) throw InputError(path.string() + " can't be read: " + error.message());
    if (size != file.bytes || xxh3_of_file(path, on_step) != file.xxh3) {
      throw InputError(path.string() + " is damaged (its checksum doesn't fit)");
    }
  }
}

fs::path CheckpointReader::path_of(const CheckpointPart& part) const {
  if (!has(part)) {
    throw InputError(folder_.string() + " holds no " + part.file_name());
  }
  return folder_ / part.file_name();
}

at::Tensor CheckpointReader::read(const CheckpointPart& part, const std::string& name) const {
  return TensorFileReader(path_of(part)).read(name);
}

void CheckpointReader::read_into(const CheckpointPart& part, const std::string& name,
                                 const at::Tensor& target) const {
  TensorFileReader(path_of(part)).read_into(name, target);
}

int64_t CheckpointReader::number(const CheckpointPart& part, const std::string& name) const {
  return TensorFileReader(path_of(part)).number(name);
}

std::vector<std::string> CheckpointReader::names(const CheckpointPart& part) const {
  return TensorFileReader(path_of(part)).names();
}

bool CheckpointReader::has(const CheckpointPart& part) const {
  return std::any_of(manifest_.files.begin(), manifest_.files.end(),
                     [&](const CheckpointFile& file) { return file.part == part; });
}

CheckpointPart CheckpointReader::holding(int64_t timestep, int64_t layer) const {
  for (const CheckpointFile& file : manifest_.files) {
    const CheckpointPart& part = file.part;
    if (part.kind == CheckpointPart::Kind::kTimestep && part.timestep == timestep &&
        part.layers_begin <= layer && layer < part.layers_end) {
      return part;
    }
  }
  throw InputError(folder_.string() + " holds no cache of timestep " + std::to_string(timestep) + ", layer " +
                   std::to_string(layer));
}

}  // namespace latentcast
