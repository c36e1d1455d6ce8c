#include "latentcast/shard/sharded_layers.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast {

ShardedLayers::ShardedLayers(RangeSource& source, const DitConfig& config,
                             std::unique_ptr<Communicator> group, GatherWay way)
    : config_(config), group_(std::move(group)), exceptions_(std::uncaught_exceptions()) {
  int64_t share = 0, largest = 0;
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    layouts_.push_back(lay_out_layer(config_, layer, source.dtype(), source.gives_fp8()));
    const int64_t part = layouts_.back().part_bytes(group_->size());
    part_begin_.push_back(share);
    share += part;
    largest = std::max(largest, part * group_->size());
  }
  const auto options = at::TensorOptions().dtype(at::kByte).device(source.device());
  share_ = at::zeros({share}, options);  // gaps are sent too: nobody should see what was there before
  for (at::Tensor& buffer : buffers_) buffer = at::empty({largest}, options);
  for (auto& views : views_) views.resize(layouts_.size());
  counters_.share_bytes = share;
  counters_.resident_bytes = share + 2 * largest;
  for (int64_t layer = 0; layer < config_.layers; ++layer) read_part(source, layer);
  shares_ = group_->publish(share_, way);
  if (!shares_->is_collective()) use_own_parts_in_place();
}

ShardedLayers::~ShardedLayers() {
  // While an exception is on its way the others may never come; the program's end will tell them.
  if (!under_way_ || std::uncaught_exceptions() > exceptions_) return;
  try {
    under_way_->finish();
  } catch (const std::exception&) {
    // The ranks that are gone are noticed by whoever still needs them.
  }
}

at::Tensor ShardedLayers::part_of(int64_t layer) const {
  const auto index = static_cast<size_t>(layer);
  return share_.narrow(0, part_begin_[index], layouts_[index].part_bytes(group_->size()));
}

void ShardedLayers::read_part(RangeSource& source, int64_t layer) {
  const at::Tensor part = part_of(layer);
  const int64_t part_begin = group_->rank() * part.numel(), part_end = part_begin + part.numel();
  for (const PlacedTensor& tensor : layouts_[static_cast<size_t>(layer)].tensors) {
    // Both ends of the range are multiples of kShardAlignment or the tensor's own, so no element is cut in
    // two.
    const int64_t begin = std::max(part_begin, tensor.offset);
    const int64_t end = std::min(part_end, tensor.offset + tensor.bytes);
    if (begin >= end) continue;
    const at::Tensor to = part.narrow(0, begin - part_begin, end - begin).view(tensor.dtype);
    const int64_t first = (begin - tensor.offset) / to.element_size();
    if (tensor.weight_shape.empty()) {
      source.copy_range(tensor.name, tensor.shape, first, to);
    } else {
      const std::string weight = tensor.name.substr(0, tensor.name.size() - std::strlen(kScales));
      source.copy_scales(weight, tensor.weight_shape, first, to);
    }
  }
}

void ShardedLayers::use_own_parts_in_place() {
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    const at::Tensor part = part_of(layer);
    const int64_t begin = group_->rank() * part.numel(), end = begin + part.numel();
    OwnPart wanted;
    for (const PlacedTensor& tensor : layouts_[static_cast<size_t>(layer)].tensors) {
      const int64_t first = tensor.together_begin, last = tensor.together_end;
      // Of tensors that others have a piece of, ours is wanted beside theirs.
      if (first < begin && last > begin) wanted.head = std::min(last, end) - begin;
      if (first >= begin && first < end && last > end) wanted.tail = end - first;
    }
    wanted_.push_back(wanted);
    in_place_.push_back({begin, part});
  }
}

void ShardedLayers::launch(int64_t layer, size_t buffer) {
  const auto index = static_cast<size_t>(layer);
  const int64_t part = layouts_[index].part_bytes(group_->size());
  const at::Tensor all = buffers_[buffer].narrow(0, 0, part * group_->size());
  under_way_ = wanted_.empty() ? shares_->launch_gather(part_begin_[index], part, all)
                               : shares_->launch_gather(part_begin_[index], part, all, wanted_[index]);
}

void ShardedLayers::step(int64_t layer) {
  if (layer != next_) {
    throw InternalError("layer " + std::to_string(layer) + " was asked for, but it is the turn of layer " +
                        std::to_string(next_) + "; sharded weights are gathered in the layers' order");
  }
  if (!under_way_) launch(layer, filling_);
  std::exchange(under_way_, nullptr)->finish();  // once, even if it fails
  ++counters_.layers_gathered;
  // The other buffer's layer has been used: its work is enqueued, and the gather queues up behind it.
  filling_ = 1 - filling_;
  next_ = (layer + 1) % config_.layers;
  launch(next_, filling_);
}

const DitLayerWeights& ShardedLayers::acquire(int64_t layer) {
  step(layer);
  const size_t buffer = 1 - filling_;
  const auto index = static_cast<size_t>(layer);
  std::optional<DitLayerWeights>& view = views_[buffer][index];
  if (!view) {
    const PartInPlace own = in_place_.empty() ? PartInPlace{} : in_place_[index];
    view = view_layer(layouts_[index], config_, layer, buffers_[buffer], own);
  }
  return *view;
}

ShardCounters ShardedLayers::counters() const {
  ShardCounters counters = counters_;
  counters.bytes_gathered = shares_->bytes_gathered();
  return counters;
}

void ShardedLayers::pass_without_compute() {
  if (next_ != 0) {
    throw InternalError("a pass without computing can't begin at layer " + std::to_string(next_));
  }
  if (!shares_->is_collective()) return;
  for (int64_t layer = 0; layer < config_.layers; ++layer) step(layer);
}

}  // namespace latentcast
