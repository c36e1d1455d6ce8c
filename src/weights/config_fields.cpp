#include "weights/config_fields.h"

#include <cmath>

#include "weights/json_file.h"
#include "weights/tensor_layout.h"

#include "latentcast/error.h"

namespace latentcast {

ConfigFields::ConfigFields(const std::string& path) : path_(path), json_(read_json_object(path)) {}

void ConfigFields::fail(const std::string& key, const std::string& what) const {
  throw InputError("'" + key + "' of '" + path_ + "' " + what);
}

const nlohmann::json& ConfigFields::at(const std::string& key) const {
  const auto it = json_.find(key);
  if (it == json_.end()) fail(key, "is missing. Is this the config.json of the right model?");
  return *it;
}

int64_t ConfigFields::as_count(const nlohmann::json& value, const std::string& key, int64_t least) const {
  constexpr int64_t kMost = int64_t{1} << 30;
  if (!value.is_number_integer()) fail(key, "isn't a whole number.");
  // An unsigned number over 2^63 would look negative: ask for it as what it is.
  const bool huge = value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(kMost);
  if (huge || value.get<int64_t>() < least || value.get<int64_t>() > kMost) {
    fail(key, "is " + value.dump() + "; it must be from " + std::to_string(least) + " to " +
                  std::to_string(kMost) + ".");
  }
  return value.get<int64_t>();
}

int64_t ConfigFields::count(const std::string& key, int64_t least) const {
  return as_count(at(key), key, least);
}

std::vector<int64_t> ConfigFields::counts(const std::string& key, int64_t least) const {
  const nlohmann::json& list = at(key);
  if (!list.is_array()) fail(key, "isn't a list of whole numbers.");
  std::vector<int64_t> values;
  for (const nlohmann::json& value : list) values.push_back(as_count(value, key, least));
  return values;
}

double ConfigFields::positive(const std::string& key) const {
  const nlohmann::json& value = at(key);
  if (!value.is_number() || !(value.get<double>() > 0) || !std::isfinite(value.get<double>())) {
    fail(key, "isn't a number above 0.");
  }
  return value.get<double>();
}

bool ConfigFields::flag(const std::string& key) const {
  const nlohmann::json& value = at(key);
  if (!value.is_boolean()) fail(key, "is neither true nor false.");
  return value.get<bool>();
}

bool ConfigFields::flag_or(const std::string& key, bool absent) const {
  return has(key) ? flag(key) : absent;
}

std::string ConfigFields::text(const std::string& key) const {
  const nlohmann::json& value = at(key);
  if (!value.is_string()) fail(key, "isn't a text.");
  return value.get<std::string>();
}

void ConfigFields::require_flag(const std::string& key, bool wanted) const {
  if (flag(key) == wanted) return;
  fail(key, wanted ? "is false; latentcast has only the network with it. Use the published checkpoint."
                   : "is true; latentcast has only the network without it. Use the published checkpoint.");
}

void ConfigFields::require_text(const std::string& key, const std::string& wanted) const {
  const std::string found = text(key);
  if (found == wanted) return;
  fail(key, "is " + quote_name(found) + "; latentcast has only the network with '" + wanted +
                "'. Use the published checkpoint.");
}

}  // namespace latentcast
