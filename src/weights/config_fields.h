#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace latentcast {

/// Reads fields of a config.json, with errors that name file and field.
class ConfigFields {
 public:
  explicit ConfigFields(const std::string& path);

  int64_t count(const std::string& key, int64_t least = 1) const;  ///< in [least, 2^30]
  double positive(const std::string& key) const;
  bool flag(const std::string& key) const;
  bool flag_or(const std::string& key, bool absent) const;
  std::string text(const std::string& key) const;
  std::vector<int64_t> counts(const std::string& key, int64_t least) const;
  bool has(const std::string& key) const { return json_.contains(key); }

  /// "<key> of <file> <what>"
  [[noreturn]] void fail(const std::string& key, const std::string& what) const;
  /// For variants of the network that latentcast doesn't have.
  void require_flag(const std::string& key, bool wanted) const;
  void require_text(const std::string& key, const std::string& wanted) const;

 private:
  const nlohmann::json& at(const std::string& key) const;
  int64_t as_count(const nlohmann::json& value, const std::string& key, int64_t least) const;

  std::string path_;
  nlohmann::json json_;
};

}  // namespace latentcast
