#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "kept_window.h"
#include "side_stream.h"
#include <ATen/core/Tensor.h>

#include "latentcast/model/dit/caches.h"

namespace latentcast {

/// Layers whose keys and values are kept elsewhere than attention reads them: in host memory, in 8 bits, or
/// both. Some buffers on the device (CacheMeans::buffers), each for one layer's condition and window, take
/// turns: while one layer computes, the next ones' rows are brought on a stream of their own, and the rows
/// that the last ones made are written back on another. The host only says what waits for what:
///   bringing a layer into a buffer  after the rows that were there last are written back, the layer's own
///                                   rows of earlier blocks are, and the condition is there
///   the layer's pass                after it is brought
///   writing back                    after the pass
/// Layers are numbered among themselves and pass in their order.
class BroughtLayers {
 public:
  struct Kind {
    bool window_on_host, condition_on_host, fp8;
  };
  /// `kinds`: of each layer. `buffers`: at least one.
  BroughtLayers(const AttentionCacheShape& shape, std::vector<Kind> kinds, int64_t buffers,
                const at::TensorOptions& options, const HostMemory& memory);

  void set_condition(int64_t layer, const ConditionKeys& made);
  void begin_pass(const CachePass& pass);
  PassKeys acquire(int64_t layer, const at::Tensor& rope);
  void release(int64_t layer);
  void expect(const CachePass& next);

  /// Waits until all is written back.
  std::vector<CachedRows> rows(int64_t timestep, int64_t layer, int64_t begin, int64_t end) const;

 private:
  /// A place for a layer while it is its turn, and what is on its way there or from there.
  struct Buffer {
    KeyValue rows;       ///< condition, then window
    KeyValue staged;     ///< 8 bits from the host: where they are unpacked from
    StreamMark brought;  ///< for the pass
    StreamMark used;     ///< by the pass
    StreamMark written;  ///< what the pass made; then the buffer is free
  };
  struct Coming {
    CachePass pass;
    int64_t layer;
    size_t buffer;
  };
  /// What all passes read besides the window: the reference's keys as they were made, the motion's rotated.
  struct Condition {
    at::Tensor key, value;
  };

  int64_t layers() const { return static_cast<int64_t>(kinds_.size()); }
  void bring_what_fits();
  std::optional<Coming> next_to_bring() const;
  void bring(const Coming& coming);
  void bring_block(Buffer& buffer, const Coming& coming, int64_t block);
  void write_back(const Coming& done);
  void drop_coming();
  at::Tensor window(const at::Tensor& rows, int64_t block) const;

  AttentionCacheShape shape_;
  std::vector<Kind> kinds_;
  at::Device device_;
  KeptWindow kept_;
  std::vector<Condition> condition_;  ///< [layer]
  std::vector<Buffer> buffers_;
  SideStream bringing_, writing_;
  StreamMark ready_;  ///< what computing has left for bringing: the condition, the buffers themselves

  std::deque<Coming> coming_;      ///< brought or being brought, in the order of their turns
  std::optional<Coming> at_work_;  ///< between acquire() and release()
  std::optional<CachePass> pass_, next_pass_;
  int64_t released_ = 0;  ///< layers of pass_ that are through
  size_t next_buffer_ = 0;
};

}  // namespace latentcast
