#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "latentcast/pipeline/layout.h"

namespace latentcast {

/// What a stage does in one tick. A cut takes none: before its tick, every stage has done all of the clips up
/// to its own, and nothing is under way.
struct ScheduleItem {
  enum class Kind { kCondition, kBlock, kCut };
  Kind kind = Kind::kBlock;
  int64_t clip = 0;
  int64_t block = 0;  ///< within the clip; blocks only
  Range timesteps;    ///< of the block in this tick; by layers one at a time
  int64_t tick = 0;

  bool operator==(const ScheduleItem&) const = default;
};

/// The shape of a render, as far as the schedule needs it.
struct ScheduleShape {
  int64_t clips = 1, blocks_per_clip = 4, timesteps = 4;
  int64_t blocks_in_last_clip = 4;  ///< the last clip may end early, with the sound
  int64_t first_clip = 0;           ///< a continued render does not begin at 0
};

/// Lays a render's work out in ticks, a pure function of layout and shape. Every input of an item is made in
/// an earlier tick:
/// - by timestep, a block enters stage s one tick after it left stage s − 1;
/// - by layers, (block, timestep) enters stage s one tick after stage s − 1, and the first stage starts it
///   only after the last stage has finished (block, timestep − 1); layout.blocks_under_way() blocks take
///   turns;
/// - the condition pass of clip 0 comes first on every stage (by layers one tick after the stage before);
///   that of clip 1 comes after the last tick of block 0, after the stage's last item of clip 0 and before
///   its first of clip 1; a render that is continued after clip 0 begins with clip 1's;
/// - every stage runs (block, timestep) after (block − 1, timestep).
/// Items come out clip by clip, so that a render of any length needs no list of all. Where they don't fill
/// the ticks (by layers, blocks a clip no multiple of the stages) the next clip's items lie in the ticks
/// between.
class Schedule {
 public:
  Schedule(const RankLayout& layout, const ScheduleShape& shape);

  /// The next clip's items, its condition pass included, in the order of their ticks: [stage][item]. Throws
  /// InternalError after the last clip.
  std::vector<std::vector<ScheduleItem>> next_clip();

  /// The clips so far end before the next one begins: its first item comes after the last tick so far.
  void drain();

  /// Ticks used so far.
  int64_t ticks() const { return ticks_; }

 private:
  ScheduleItem block_item(int64_t block, int64_t tick, Range timesteps) const;
  int64_t blocks_of_clip() const;
  void add_conditions(std::vector<std::vector<ScheduleItem>>& items);
  void add_block_by_timestep(int64_t block, std::vector<std::vector<ScheduleItem>>& items);
  void add_block_by_layers(int64_t block, std::vector<std::vector<ScheduleItem>>& items);

  RankLayout layout_;
  ScheduleShape shape_;
  int64_t clip_ = 0, ticks_ = 0;
  /// First tick without work: by timestep of each stage; by layers on the first stage of each lane. A block
  /// keeps its lane, every lanes-th tick of the first stage, until it is done.
  std::vector<int64_t> free_from_;
  int64_t first_block_done_ = 0;  ///< tick in which the last stage finished block 0
};

/// Whether the pipeline drains after a clip. Asked once for every clip but the last, in their order, when the
/// next one would begin on the stage; must say the same on every rank.
using CutAfter = std::function<bool(int64_t clip)>;
/// At a cut: all clips before `position` are done everywhere. Whether the render goes on.
using AtCut = std::function<bool(int64_t position)>;

/// One stage's items in the order of their ticks, whatever clip they belong to. Holds the clips under way
/// only.
class StageWalk {
 public:
  /// Without `cut_after` nothing is cut. Throws InternalError if the layout has no such stage.
  StageWalk(const RankLayout& layout, const ScheduleShape& shape, int stage, CutAfter cut_after = {});

  /// The next item; nullopt after the last one.
  std::optional<ScheduleItem> next();
  /// The item of a tick, valid until the next call; nullptr if there is none. Ticks must be asked for in
  /// order; instead of next(). After a cut its tick is asked for again: the next clip begins in it.
  const ScheduleItem* at(int64_t tick);
  /// The item after the one that at() gave last, as far as it is known; until the next call.
  const ScheduleItem* coming() const { return ahead_.empty() ? nullptr : &ahead_.begin()->second; }
  /// Whether all stages are done before this tick, which at() has just been asked for.
  bool is_over(int64_t tick) const { return !current_ && tick >= schedule_.ticks(); }
  /// Ticks of the whole render, all stages; only known after the last item.
  int64_t ticks() const { return schedule_.ticks(); }

 private:
  void pull();
  bool is_time_to_pull() const;
  bool asks_for_cut();
  ScheduleItem cut();
  int64_t next_clip_tick() const;

  Schedule schedule_;
  size_t stage_;
  CutAfter cut_after_;
  int64_t next_clip_, clips_;
  bool asked_ = true;  ///< about a cut before next_clip_; there is none before the first
  bool cut_due_ = false;
  int64_t next_clip_tick_;                 ///< in which the stage begins the first clip that is not in ahead_
  std::map<int64_t, ScheduleItem> ahead_;  ///< by tick
  std::optional<ScheduleItem> current_;    ///< of at()
  bool cut_returned_ = false;              ///< by at(), as current_
};

/// A picture of the first ticks: a row a stage and one for the decoder, a column a tick. C0 is the condition
/// pass of clip 0, 1.3 block 3 of clip 1 (1.3:2 its timestep 2, by layers), a dot a tick without work.
std::string draw_schedule(const RankLayout& layout, const ScheduleShape& shape, int64_t ticks);

}  // namespace latentcast
