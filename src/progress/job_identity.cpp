#include "latentcast/progress/job_identity.h"

#include <algorithm>

#include "sealed_json.h"

#include "latentcast/config/options.h"
#include "latentcast/error.h"
#include "latentcast/progress/checksum.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

IdentifiedFile identified(const std::string& role, const fs::path& file, const std::string& hash) {
  std::error_code error;
  return {role, fs::absolute(file), static_cast<int64_t>(fs::file_size(file, error)), hash};
}

void add_input(JobIdentity& identity, const std::string& role, const fs::path& file) {
  if (!file.empty()) {
    identity.inputs.push_back(identified(role, file, sha256_of_file(file)));
  }
}

void add_inputs(JobIdentity& identity, const std::string& role, const std::vector<fs::path>& files) {
  for (size_t i = 0; i < files.size(); ++i) {
    add_input(identity, files.size() == 1 ? role : role + " " + std::to_string(i + 1), files[i]);
  }
}

Json files_json(const std::vector<IdentifiedFile>& files) {
  Json list = Json::array();
  for (const IdentifiedFile& file : files) {
    list.push_back(
        {{"role", file.role}, {"path", file.path.string()}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  return list;
}

std::vector<IdentifiedFile> files_from(const Json& list) {
  std::vector<IdentifiedFile> files;
  for (const Json& json : list) {
    files.push_back(
        {json.at("role"), json.at("path").get<std::string>(), json.at("bytes"), json.at("sha256")});
  }
  return files;
}

std::string shortened(const std::string& value) {
  constexpr size_t kLongest = 60;
  return value.size() <= kLongest ? (value.empty() ? "not given" : value) : value.substr(0, kLongest) + "…";
}

template <typename Entries, typename Name>
auto find_by(const Entries& entries, const std::string& name, const Name& name_of) {
  return std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return name_of(e) == name; });
}

void compare_fields(const JobIdentity& before, const JobIdentity& now, std::vector<std::string>& found) {
  const auto name_of = [](const auto& field) { return field.first; };
  for (const auto& [name, value] : now.fields) {
    // A field that an older version didn't know: its default held then, and the hash tells the rest.
    const auto old = find_by(before.fields, name, name_of);
    if (old != before.fields.end() && old->second != value) {
      found.push_back(name + " was " + shortened(old->second) + ", is " + shortened(value));
    }
  }
}

void compare_files(const std::vector<IdentifiedFile>& before, const std::vector<IdentifiedFile>& now,
                   std::vector<std::string>& found) {
  const auto role_of = [](const auto& file) { return file.role; };
  for (const IdentifiedFile& file : now) {
    const auto old = find_by(before, file.role, role_of);
    if (old == before.end()) {
      found.push_back(file.role + " is new: " + file.path.string());
    } else if (old->sha256 != file.sha256) {
      found.push_back(file.role + " has other contents: " + file.path.string());
    }
  }
  for (const IdentifiedFile& old : before) {
    if (find_by(now, old.role, role_of) == now.end()) {
      found.push_back(old.role + " is gone: " + old.path.string());
    }
  }
}

}  // namespace

JobIdentity identify(const RenderJob& job, const std::string& device, const std::string& dtype,
                     FileHashCache& cache, const StepSink& on_step) {
  RenderJob decided = job;
  decided.device = device;
  decided.dtype = dtype;
  JobIdentity identity;
  identity.fields = content_fields(decided);
  add_input(identity, "image", job.image);
  add_inputs(identity, "audio", job.audio);
  add_inputs(identity, "masks", job.masks);
  add_input(identity, "pose_video", job.pose_video);
  add_input(identity, "trace_inputs", job.trace_inputs);
  std::vector<std::string> roles = model_files(job.ckpt_dir);
  std::vector<fs::path> files;
  for (const std::string& name : roles) files.push_back(job.ckpt_dir / name);
  if (job.load_lora) {
    roles.push_back("lora_path_dmd");
    files.push_back(job.lora_path_dmd);
  }
  const std::vector<std::string> hashes = cache.hash_all(files, on_step);
  for (size_t i = 0; i < files.size(); ++i) {
    identity.weights.push_back(identified(roles[i], files[i], hashes[i]));
  }
  return identity;
}

std::string JobIdentity::hash() const {
  Json json = Json::array();
  for (const auto& [name, value] : fields) json.push_back({name, value});
  for (const auto* files : {&inputs, &weights}) {
    for (const IdentifiedFile& file : *files) json.push_back({file.role, file.sha256});
  }
  return sha256(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

std::string JobIdentity::to_json() const {
  Json json;
  json["format"] = 1;
  json["hash"] = hash();
  json["fields"] = Json::object();
  for (const auto& [name, value] : fields) json["fields"][name] = value;
  json["inputs"] = files_json(inputs);
  json["weights"] = files_json(weights);
  return seal(std::move(json));
}

JobIdentity identity_from_json(const std::string& text, const fs::path& file) {
  return read_sealed(text, file, [](const Json& json) {
    JobIdentity identity;
    for (const auto& [name, value] : json.at("fields").items()) {
      identity.fields.emplace_back(name, value.get<std::string>());
    }
    identity.inputs = files_from(json.at("inputs"));
    identity.weights = files_from(json.at("weights"));
    return identity;
  });
}

std::vector<std::string> differences(const JobIdentity& before, const JobIdentity& now) {
  std::vector<std::string> found;
  compare_fields(before, now, found);
  compare_files(before.inputs, now.inputs, found);
  compare_files(before.weights, now.weights, found);
  return found;
}

}  // namespace latentcast
