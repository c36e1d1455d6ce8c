#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/comm/communicator.h"

namespace latentcast {

/// What happens after a clip.
enum class Cut : int64_t {
  kNone,  ///< the next clip follows in the pipeline
  kSave,  ///< it drains, a checkpoint is taken, and goes on
  kStop,  ///< it drains, a checkpoint is taken, and the run ends early
};

/// What was decided, the same on every rank: rank 0, where every render's first stage is, decides about a
/// clip when the next one would begin there, and sends its word to the others, which need it in later ticks
/// only. Main thread only.
class Cuts {
 public:
  /// Asked on rank 0 once a clip. `stop_wished`: another rank has asked for a stop.
  using Decide = std::function<Cut(int64_t clip, bool stop_wished)>;
  /// Asked on the other ranks once a clip: whether this rank has been asked to stop.
  using Wish = std::function<bool()>;

  /// `links`: all ranks, CPU tensors, used by nobody else.
  Cuts(std::unique_ptr<Communicator> links, Decide decide, Wish wish);
  ~Cuts();
  Cuts(const Cuts&) = delete;
  Cuts& operator=(const Cuts&) = delete;

  /// About a clip; clips come in order, but the last ones may be asked about again. On ranks other than 0
  /// waits for rank 0's word.
  Cut after(int64_t clip);

  /// No clip will be asked about any more; nothing is left under way. Collective.
  void close();

 private:
  struct Sent {
    std::unique_ptr<Transfer> transfer;
    at::Tensor tensor;
  };
  Cut decide(int64_t clip);
  Cut next_word(int64_t clip);
  void send(int to, int64_t clip, Cut cut);
  bool stop_wished();
  void wish_once(bool wished);

  std::unique_ptr<Communicator> links_;
  Decide decide_;
  Wish wish_;
  std::map<int64_t, Cut> decided_;  ///< the last clips
  std::deque<Sent> sent_;
  std::vector<Sent> wishes_;  ///< on rank 0: a receive from each other rank, which sends one word in all
  bool told_wish_ = false;
  bool stop_wished_ = false;
};

}  // namespace latentcast
