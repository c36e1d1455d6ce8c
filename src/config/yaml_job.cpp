#include "yaml_job.h"

#include <algorithm>
#include <set>

#include "option_table.h"
#include "option_value.h"
#include <yaml-cpp/yaml.h>

#include "latentcast/config/options.h"
#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;
using PathList = std::vector<fs::path> RenderJob::*;

std::string place(const fs::path& path, const YAML::Mark& mark) {
  return mark.is_null() ? path.string() : path.string() + ":" + std::to_string(mark.line + 1);
}

YAML::Node load(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) {
    throw InputError("Can't read the job file " + path.string() + ": there is no such file.");
  }
  try {
    YAML::Node root = YAML::LoadFile(path.string());
    if (root.IsMap()) return root;
    throw InputError(path.string() + " is not a job: it must be lines of 'name: value' (docs/options.md).");
  } catch (const YAML::ParserException& error) {
    throw InputError(place(path, error.mark) + ": not valid YAML: " + error.msg +
                     ". Texts with special characters must be quoted.");
  } catch (const YAML::Exception& error) {
    throw InputError("Can't read the job file " + path.string() + ": " + error.what());
  }
}

std::string scalar(const YAML::Node& value) {
  if (value.IsScalar()) return value.Scalar();
  throw InputError(value.IsNull() ? "there is no value; leave the line out or give one"
                                  : "expected one value, got a list or a group of values");
}

void set_from_yaml(const Option& option, RenderJob& job, const YAML::Node& value, const fs::path& folder) {
  const auto* list = std::get_if<PathList>(&option.field);
  if (!list || !value.IsSequence()) return set_value(option, job, scalar(value), folder);
  std::vector<std::string> names;
  for (const YAML::Node& name : value) names.push_back(scalar(name));
  set_files(job.**list, names, folder);
}

// One `name: value`. Public options without a field give a notice.
void apply_entry(const std::string& name, const YAML::Node& value, RenderJob& job, const fs::path& folder,
                 std::vector<std::string>& notices) {
  if (const Option* option = find_option(name)) {
    set_from_yaml(*option, job, value, folder);
  } else if (const PublicOption* option = find_public_option(name)) {
    std::string notice = public_option_notice(*option, scalar(value), name);
    if (!notice.empty()) notices.push_back(std::move(notice));
  } else {
    throw InputError("there is no such option" + suggestion(name, ""));
  }
}

struct Emitter {
  YAML::Emitter& out;

  void operator()(const std::string& name, const std::string& text) const {
    out << YAML::Key << name << YAML::Value << YAML::DoubleQuoted << text;
  }
  void operator()(const std::string& name, const fs::path& path) const {
    const bool kept = path == kPublicLora;
    (*this)(name, kept ? path.string() : fs::absolute(path).lexically_normal().string());
  }
  void operator()(const std::string& name, const std::vector<fs::path>& paths) const {
    out << YAML::Key << name << YAML::Value << YAML::BeginSeq;
    for (const fs::path& path : paths)
      out << YAML::DoubleQuoted << fs::absolute(path).lexically_normal().string();
    out << YAML::EndSeq;
  }
};

void emit(YAML::Emitter& out, const Option& option, const RenderJob& job) {
  const auto text = value_text(option, job);
  if (!text) return;
  const std::string name(option.name);
  const Emitter emitter{out};
  if (const auto* path = std::get_if<fs::path RenderJob::*>(&option.field)) return emitter(name, job.**path);
  if (const auto* paths = std::get_if<PathList>(&option.field)) return emitter(name, job.**paths);
  if (std::holds_alternative<std::string RenderJob::*>(option.field) ||
      std::holds_alternative<std::optional<std::string> RenderJob::*>(option.field)) {
    return emitter(name, *text);
  }
  out << YAML::Key << name << YAML::Value << *text;
}

}  // namespace

void read_yaml(const fs::path& path, RenderJob& job, std::vector<std::string>& notices) {
  const YAML::Node root = load(path);
  const fs::path folder = fs::absolute(path).parent_path();
  std::set<std::string> seen;
  bool online = false;
  for (const auto& entry : root) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "?";
    std::string name = key;
    std::replace(name.begin(), name.end(), '-', '_');
    try {
      if (!seen.insert(name).second) throw InputError("given twice");
      apply_entry(name, entry.second, job, folder, notices);
    } catch (const InputError& error) {
      throw InputError(place(path, entry.first.Mark()) + ": " + key + ": " + error.what());
    }
    if (name == "enable_online_decode") online = parse_bool(entry.second.Scalar()).value_or(false);
  }
  if (!online) return;
  if (seen.contains("decode") && job.decode != DecodeMode::kOnline) {
    throw InputError(path.string() +
                     ": enable_online_decode and decode: batch contradict each other. Leave one out.");
  }
  job.decode = DecodeMode::kOnline;
}

RenderJob from_yaml(const fs::path& path) {
  RenderJob job;
  std::vector<std::string> notices;
  read_yaml(path, job, notices);
  return job;
}

std::string to_yaml(const RenderJob& job) {
  YAML::Emitter out;
  out << YAML::BeginMap;
  for (const Option& option : option_table()) emit(out, option, job);
  out << YAML::EndMap;
  return "# A job of latentcast; what each line means: docs/options.md\n" + std::string(out.c_str()) + "\n";
}

std::vector<std::string> differing_fields(const RenderJob& a, const RenderJob& b, Identity identity) {
  std::vector<std::string> names;
  for (const Option& option : option_table()) {
    const bool same = std::visit([&](auto member) { return a.*member == b.*member; }, option.field);
    if (!same && option.identity == identity) names.emplace_back(option.name);
  }
  return names;
}

std::vector<std::pair<std::string, std::string>> content_fields(const RenderJob& job) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (const Option& option : option_table()) {
    const bool is_file = std::holds_alternative<fs::path RenderJob::*>(option.field) ||
                         std::holds_alternative<PathList>(option.field);
    if (option.identity == Identity::kContent && !is_file) {
      const bool is_prompt = option.name == "prompt";
      fields.emplace_back(option.name, is_prompt ? prompt_text(job) : value_text(option, job).value_or(""));
    }
  }
  return fields;
}

}  // namespace latentcast
