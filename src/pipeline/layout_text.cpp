#include <algorithm>
#include <cstdio>
#include <numeric>

#include <nlohmann/json.hpp>

#include "latentcast/error.h"
#include "latentcast/pipeline/layout.h"

namespace latentcast {
namespace {

using Row = std::vector<std::string>;
using Json = nlohmann::ordered_json;

std::string range_text(const Range& range) {
  const std::string first = std::to_string(range.begin);
  return range.size() == 1 ? first : first + "-" + std::to_string(range.end - 1);
}

std::string share_text(const RankLayout& layout, const StagePlan& stage) {
  double share = 100;
  if (layout.split == Split::kLayers) {
    share *= static_cast<double>(stage.layers.size()) / static_cast<double>(layout.stages.back().layers.end);
  } else if (layout.shard) {
    share /= static_cast<double>(layout.stages.size());
  }
  char text[16];
  std::snprintf(text, sizeof text, "%.4g %%", share);
  return text;
}

std::string work_text(const RankLayout& layout, int rank) {
  const double all = std::accumulate(layout.work.begin(), layout.work.end(), 0.0);
  char text[16];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * layout.work[static_cast<size_t>(rank)] / all);
  return text;
}

Row row(const RankLayout& layout, int rank, const std::string& host, const std::string& device) {
  const int index = layout.stage_of(rank);
  if (index < 0)
    return {std::to_string(rank), host, device, "-", "-", "decoder", "-", work_text(layout, rank)};
  const StagePlan& stage = layout.stages[static_cast<size_t>(index)];
  const std::string role = "stage " + std::to_string(index) + (layout.decodes(rank) ? ", decoder" : "");
  return {std::to_string(rank),
          host,
          device,
          range_text(stage.timesteps),
          range_text(stage.layers),
          role,
          share_text(layout, stage),
          work_text(layout, rank)};
}

std::string aligned(const std::vector<Row>& rows) {
  std::vector<size_t> widths(rows.front().size());
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    text += line + "\n";
  }
  return text;
}

Json range_json(const Range& range) { return Json::array({range.begin, range.end}); }

}  // namespace

std::string layout_table(const RankLayout& layout, const std::vector<std::string>& hosts,
                         const std::vector<std::string>& devices) {
  const auto ranks = static_cast<size_t>(layout.world_size);
  if (hosts.size() != ranks || devices.size() != ranks) {
    throw InternalError("The layout's table needs a host and a device for each of " + std::to_string(ranks) +
                        " ranks.");
  }
  std::vector<Row> rows = {{"rank", "host", "device", "timesteps", "layers", "role", "weights", "work"}};
  for (size_t rank = 0; rank < ranks; ++rank) {
    rows.push_back(row(layout, static_cast<int>(rank), hosts[rank], devices[rank]));
  }
  return aligned(rows);
}

std::string layout_json(const RankLayout& layout) {
  Json json;
  json["world_size"] = layout.world_size;
  json["split"] = layout.split == Split::kTimestep ? "timestep" : "layers";
  json["shard"] = layout.shard;
  json["stages"] = Json::array();
  for (const StagePlan& stage : layout.stages) {
    json["stages"].push_back({{"rank", stage.rank},
                              {"timesteps", range_json(stage.timesteps)},
                              {"layers", range_json(stage.layers)}});
  }
  json["decoder"] = {{"place", layout.decoder == DecoderPlace::kRank ? "rank" : "stream"},
                     {"rank", layout.decoder_rank}};
  json["layers_per_stage"] = Json::array();
  for (const StagePlan& stage : layout.stages) json["layers_per_stage"].push_back(stage.layers.size());
  json["steps_per_block"] = layout.work;
  return json.dump(2);
}

}  // namespace latentcast
