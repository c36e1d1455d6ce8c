#include "latentcast/progress/checkpoint_manifest.h"

#include "sealed_json.h"
#include "segment_json.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;

Json part_json(const CheckpointPart& part) {
  switch (part.kind) {
    case CheckpointPart::Kind::kTimestep:
      return {{"holds", "timestep"},
              {"timestep", part.timestep},
              {"layers", {part.layers_begin, part.layers_end}}};
    case CheckpointPart::Kind::kDecoder:
      return {{"holds", "decoder"}};
    case CheckpointPart::Kind::kLatents:
      return {{"holds", "latents"}, {"timestep", part.timestep}};
    case CheckpointPart::Kind::kRender:
      return {{"holds", "render"}};
  }
  throw InternalError("a checkpoint's part of no kind");
}

CheckpointPart part_from(const Json& json) {
  const std::string holds = json.at("holds");
  if (holds == "decoder") return CheckpointPart::decoder();
  if (holds == "render") return CheckpointPart::render();
  if (holds == "latents") return CheckpointPart::latents_after(json.at("timestep"));
  const Json& layers = json.at("layers");
  return CheckpointPart::of_timestep(json.at("timestep"), layers.at(0), layers.at(1));
}

Json file_json(const CheckpointFile& file) {
  Json json = part_json(file.part);
  json["file"] = file.part.file_name();
  json["bytes"] = file.bytes;
  json["xxh3"] = file.xxh3;
  return json;
}

CheckpointFile file_from(const Json& json) { return {part_from(json), json.at("bytes"), json.at("xxh3")}; }

CheckpointManifest manifest_from(const Json& json, const fs::path& file) {
  CheckpointManifest manifest;
  manifest.format = json.at("format");
  if (manifest.format != kFormat) {
    throw InputError(file.string() + " is a checkpoint of format " + std::to_string(manifest.format) +
                     "; this version of latentcast reads format " + std::to_string(kFormat));
  }
  manifest.position = json.at("position");
  manifest.strength =
      json.at("strength") == "light" ? CheckpointStrength::kLight : CheckpointStrength::kExact;
  manifest.identity = json.at("identity");
  manifest.device = json.at("device");
  manifest.dtype = json.at("dtype");
  manifest.layout = json.at("layout");
  manifest.timesteps = json.at("timesteps");
  manifest.layers = json.at("layers");
  manifest.replay_from = json.value("replay_from", manifest.position);
  manifest.segments = segments_from(json.at("segments"), file);
  for (const Json& entry : json.at("files")) {
    manifest.files.push_back(file_from(entry));
  }
  return manifest;
}

}  // namespace

std::string CheckpointPart::file_name() const {
  switch (kind) {
    case Kind::kTimestep:
      return "timestep-" + std::to_string(timestep) + ".layers-" + std::to_string(layers_begin) + "-" +
             std::to_string(layers_end - 1) + ".h5";
    case Kind::kDecoder:
      return "decoder.h5";
    case Kind::kLatents:
      return "latents-" + std::to_string(timestep) + ".h5";
    case Kind::kRender:
      return "render.h5";
  }
  throw InternalError("a checkpoint's part of no kind");
}

std::string CheckpointFile::to_json() const { return file_json(*this).dump(); }

CheckpointFile CheckpointFile::from_json(const std::string& text) { return file_from(Json::parse(text)); }

std::string CheckpointManifest::to_json() const {
  Json json;
  json["format"] = format;
  json["position"] = position;
  json["strength"] = strength == CheckpointStrength::kLight ? "light" : "exact";
  json["identity"] = identity;
  json["device"] = device;
  json["dtype"] = dtype;
  json["timesteps"] = timesteps;
  json["layers"] = layers;
  if (strength == CheckpointStrength::kLight) {
    json["replay_from"] = replay_from;
  }
  json["layout"] = layout;
  json["files"] = Json::array();
  for (const CheckpointFile& file : files) {
    json["files"].push_back(file_json(file));
  }
  json["segments"] = Json::array();
  for (const SegmentEntry& entry : segments) {
    json["segments"].push_back(segment_json(entry));
  }
  return seal(std::move(json));
}

CheckpointManifest CheckpointManifest::from_json(const std::string& text, const fs::path& file) {
  return read_sealed(text, file, [&](const Json& json) { return manifest_from(json, file); });
}

}  // namespace latentcast
