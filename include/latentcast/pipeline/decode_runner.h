#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

#include <ATen/core/Tensor.h>

#include "latentcast/comm/communicator.h"
#include "latentcast/pipeline/decode.h"
#include "latentcast/pipeline/frame_taker.h"
#include "latentcast/pipeline/frames_to_host.h"
#include "latentcast/pipeline/schedule.h"

namespace latentcast {

/// Called when a block's frames have been handed to the video, with whether the clip's segment is closed.
using BlockSink = std::function<void(int64_t clip, bool clip_closed)>;

/// Turns finished blocks into the video, on whatever rank: decodes them as they come, hands the frames to the
/// segments, closes a clip's segment after its last block.
class DecodeRunner {
 public:
  /// `activity`: of the thread that runs it.
  DecodeRunner(DecodeStage decoder, FrameTaker& video, const ScheduleShape& shape, Trace& trace,
               BlockSink sink, Activity& activity);

  /// The next block's latents [16, 3, h, w] float32, on any device. With `another_waits` the block's frames
  /// may stay behind until the next call, so that a GPU decodes the next block while they are written; a
  /// clip's last frames never do.
  void take(const at::Tensor& latents, bool another_waits = false);
  /// Receives all blocks of the render from the rank of the last stage. The next one is asked for before the
  /// last one is decoded. `like`: shape, type and device of a block's latents. At a cut calls `at_cut`, which
  /// must be given if `cut_after` was; `each_block`, which may be empty, after every block.
  void receive_all(Communicator& pipeline, int from, const at::Tensor& like, const CutAfter& cut_after = {},
                   const AtCut& at_cut = {}, const std::function<void()>& each_block = {});

  DecodeStage& decoder() { return decoder_; }
  /// Before the first block: clips before this one are decoded for the decoder's state only.
  void hide_clips_before(int64_t clip) { first_shown_ = clip; }

 private:
  bool is_shown() const { return clip_ >= first_shown_; }
  bool is_last_of_clip() const { return block_ + 1 == blocks_of(clip_); }
  int64_t blocks_of(int64_t clip) const;
  void trace_frames(const at::Tensor& frames);
  void write_behind();
  void close_clip();

  DecodeStage decoder_;
  FrameTaker& video_;
  ScheduleShape shape_;
  Trace& trace_;
  Activity& activity_;
  BlockSink sink_;
  int64_t clip_, block_ = 0, decoded_, first_shown_ = 0;
  /// Frames of a block that aren't written yet; nothing for a block that gave none.
  std::deque<std::optional<FramesToHost>> behind_;
};

}  // namespace latentcast
