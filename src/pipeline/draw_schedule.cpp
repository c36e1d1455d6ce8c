#include <algorithm>

#include "latentcast/pipeline/schedule.h"

namespace latentcast {
namespace {

std::string block_text(const ScheduleItem& item) {
  return std::to_string(item.clip) + "." + std::to_string(item.block);
}

std::string item_text(const ScheduleItem& item, Split split) {
  if (item.kind == ScheduleItem::Kind::kCondition) return std::string("C") + std::to_string(item.clip);
  return split == Split::kTimestep ? block_text(item)
                                   : block_text(item) + ":" + std::to_string(item.timesteps.begin);
}

std::string range_text(const char* singular, const Range& range) {
  const std::string first = std::to_string(range.begin);
  if (range.size() == 1) return singular + (" " + first);
  return std::string(singular) + "s " + first + "-" + std::to_string(range.end - 1);
}

// A grid of cells, all empty at first.
class Picture {
 public:
  Picture(size_t rows, size_t columns)
      : labels_(rows), cells_(rows, std::vector<std::string>(columns, ".")) {}

  void label(size_t row, const std::string& text) { labels_[row] = text; }
  void set(size_t row, int64_t column, const std::string& text) {
    if (static_cast<size_t>(column) < cells_[row].size()) cells_[row][static_cast<size_t>(column)] = text;
  }

  std::string text() const {
    size_t left = 0, width = 0;
    for (const std::string& label : labels_) left = std::max(left, label.size());
    for (const auto& row : cells_) {
      for (const std::string& cell : row) width = std::max(width, cell.size());
    }
    std::string text;
    for (size_t row = 0; row < cells_.size(); ++row) {
      std::string line = labels_[row] + std::string(left + 1 - labels_[row].size(), ' ');
      for (const std::string& cell : cells_[row]) {
        line += " " + cell + std::string(width - cell.size(), ' ');
      }
      line.erase(line.find_last_not_of(' ') + 1);
      text += line + "\n";
    }
    return text;
  }

 private:
  std::vector<std::string> labels_;
  std::vector<std::vector<std::string>> cells_;
};

std::string stage_label(const RankLayout& layout, size_t stage) {
  const StagePlan& plan = layout.stages[stage];
  return std::string("rank ") + std::to_string(plan.rank) + ", " +
         (layout.split == Split::kTimestep ? range_text("timestep", plan.timesteps)
                                           : range_text("layer", plan.layers));
}

std::string decoder_label(const RankLayout& layout) {
  return std::string("rank ") + std::to_string(layout.decoder_rank) + ", decoder" +
         (layout.decoder == DecoderPlace::kStream ? " (stream)" : "");
}

}  // namespace

std::string draw_schedule(const RankLayout& layout, const ScheduleShape& shape, int64_t ticks) {
  const size_t stages = layout.stages.size(), columns = static_cast<size_t>(std::max<int64_t>(ticks, 0));
  Picture picture(stages + 2, columns);
  picture.label(0, "tick");
  for (size_t tick = 0; tick < columns; ++tick)
    picture.set(0, static_cast<int64_t>(tick), std::to_string(tick));
  for (size_t stage = 0; stage < stages; ++stage) picture.label(stage + 1, stage_label(layout, stage));
  picture.label(stages + 1, decoder_label(layout));

  for (size_t stage = 0; stage < stages; ++stage) {
    StageWalk walk(layout, shape, static_cast<int>(stage));
    for (auto item = walk.next(); item && item->tick < ticks; item = walk.next()) {
      picture.set(stage + 1, item->tick, item_text(*item, layout.split));
      const bool finished = stage + 1 == stages && item->kind == ScheduleItem::Kind::kBlock &&
                            item->timesteps.end == shape.timesteps;
      if (finished) picture.set(stages + 1, item->tick + 1, block_text(*item));
    }
  }
  return picture.text();
}

}  // namespace latentcast
