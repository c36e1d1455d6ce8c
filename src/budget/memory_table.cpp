#include <algorithm>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "latentcast/budget/memory_model.h"

namespace latentcast {
namespace {

constexpr int64_t kGib = int64_t{1} << 30;

using Parts = std::vector<MemoryPart>;

int64_t bytes_of(const Parts& parts, const std::string& name) {
  int64_t bytes = 0;
  for (const MemoryPart& part : parts) bytes += part.name == name ? part.bytes : 0;
  return bytes;
}

/// All ranks' parts, each once.
std::vector<std::string> names_of(const std::vector<RankMemory>& ranks, Parts RankMemory::*list) {
  std::vector<std::string> names;
  for (const RankMemory& rank : ranks) {
    for (const MemoryPart& part : rank.*list) {
      if (std::find(names.begin(), names.end(), part.name) == names.end()) names.push_back(part.name);
    }
  }
  return names;
}

/// Begins with its newline.
std::string line(const std::string& name, const std::vector<int64_t>& bytes) {
  constexpr size_t kNames = 26;
  std::string text = "\n";
  text += name;
  text += std::string(kNames - std::min(kNames, name.size()), ' ');
  for (const int64_t one : bytes) {
    char number[32];
    std::snprintf(number, sizeof number, "%9.2f", static_cast<double>(one) / static_cast<double>(kGib));
    text += number;
  }
  return text;
}

template <typename Value>
std::string line_of(const std::vector<RankMemory>& ranks, const std::string& name, Value value) {
  std::vector<int64_t> bytes;
  for (const RankMemory& rank : ranks) bytes.push_back(value(rank));
  return line(name, bytes);
}

}  // namespace

std::string gib_text(int64_t bytes) {
  const int64_t tenths = (10 * bytes + kGib - 1) / kGib;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " GiB";
}

std::string largest_parts(const RankMemory& rank, size_t count) {
  Parts parts = rank.device;
  std::stable_sort(parts.begin(), parts.end(),
                   [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  std::string text;
  for (size_t i = 0; i < std::min(count, parts.size()); ++i) {
    text += (i == 0 ? "" : ", ") + parts[i].name + " " + gib_text(parts[i].bytes);
  }
  return text;
}

std::string memory_json(const std::vector<RankMemory>& ranks) {
  const auto parts = [](const Parts& list) {
    nlohmann::ordered_json json = nlohmann::ordered_json::object();
    for (const MemoryPart& part : list) json[part.name] = part.bytes;
    return json;
  };
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const RankMemory& rank : ranks) {
    json.push_back({{"rank", rank.rank},
                    {"device_bytes", rank.device_bytes()},
                    {"host_bytes", rank.host_bytes()},
                    {"device", parts(rank.device)},
                    {"loading", parts(rank.loading)},
                    {"host", parts(rank.host)}});
  }
  return json.dump();
}

std::string memory_table(const std::vector<RankMemory>& ranks) {
  std::string text = "GiB on the device, rank";
  text += std::string(26 - text.size(), ' ');
  for (const RankMemory& rank : ranks) {
    char number[32];
    std::snprintf(number, sizeof number, "%9d", rank.rank);
    text += number;
  }
  for (const std::string& name : names_of(ranks, &RankMemory::device)) {
    text += line_of(ranks, "  " + name, [&](const auto& rank) { return bytes_of(rank.device, name); });
  }
  text += line_of(ranks, "at most", [](const auto& rank) { return rank.device_bytes(); });
  text += line_of(ranks, "pinned in host memory", [](const auto& rank) { return rank.host_bytes(); });
  return text;
}

}  // namespace latentcast
