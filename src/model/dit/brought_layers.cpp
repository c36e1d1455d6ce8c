#include "brought_layers.h"

#include <algorithm>
#include <string>
#include <utility>

#include "layers_in_place.h"
#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/kernels/dequantize.h"
#include "latentcast/kernels/rotated_norm.h"

namespace latentcast {
namespace {

/// Without waiting for it on the host.
void launch_copy(const at::Tensor& to, const at::Tensor& from) { to.copy_(from, /*non_blocking=*/true); }

std::vector<KeptWindow::Kind> window_kinds(const std::vector<BroughtLayers::Kind>& kinds) {
  std::vector<KeptWindow::Kind> windows;
  for (const BroughtLayers::Kind& kind : kinds) windows.push_back({kind.window_on_host, kind.fp8});
  return windows;
}

}  // namespace

BroughtLayers::BroughtLayers(const AttentionCacheShape& shape, std::vector<Kind> kinds, int64_t buffers,
                             const at::TensorOptions& options, const HostMemory& memory)
    : shape_(shape),
      kinds_(std::move(kinds)),
      device_(options.device()),
      kept_(shape, window_kinds(kinds_), options, memory),
      bringing_(device_),
      writing_(device_) {
  const int64_t front = shape_.condition_tokens(), all = front + shape_.window_tokens();
  const int64_t element = static_cast<int64_t>(c10::elementSize(c10::typeMetaToScalarType(options.dtype())));
  const auto zeros = [&](int64_t rows, bool on_host) {
    const std::vector<int64_t> sizes = {rows, shape_.heads, shape_.head_dim};
    if (!on_host) return at::zeros(sizes, options);
    const at::Tensor bytes = memory(rows * shape_.dim() * element);
    return bytes.view(c10::typeMetaToScalarType(options.dtype())).view(sizes).zero_();
  };
  for (const Kind& kind : kinds_) {
    condition_.push_back({zeros(front, kind.condition_on_host), zeros(front, kind.condition_on_host)});
  }
  const bool stages = std::any_of(kinds_.begin(), kinds_.end(),
                                  [](const Kind& kind) { return kind.fp8 && kind.window_on_host; });
  const at::TensorOptions bytes = options.dtype(at::kFloat8_e4m3fn);
  for (int64_t i = 0; i < std::min(buffers, layers()); ++i) {
    Buffer& buffer = buffers_.emplace_back();
    buffer.rows = {zeros(all, false), zeros(all, false)};
    if (stages) {
      const std::vector<int64_t> sizes = {shape_.window_tokens(), shape_.dim()};
      buffer.staged = {at::empty(sizes, bytes), at::empty(sizes, bytes)};
    }
  }
  ready_.set(device_);
}

at::Tensor BroughtLayers::window(const at::Tensor& rows, int64_t block) const {
  return rows.narrow(0, shape_.condition_tokens() + block * shape_.block_tokens, shape_.block_tokens);
}

void BroughtLayers::set_condition(int64_t layer, const ConditionKeys& made) {
  drop_coming();  // what was brought ahead has the condition of before
  const Condition& kept = condition_[static_cast<size_t>(layer)];
  const int64_t reference = shape_.reference_tokens, motion = shape_.motion_tokens;
  launch_copy(kept.key.narrow(0, 0, reference), made.key.narrow(0, 0, reference));
  launch_copy(kept.key.narrow(0, reference, motion), made.rotated.narrow(0, reference, motion));
  launch_copy(kept.value, made.value);
  ready_.set(device_);
}

/// Nobody has used it: the next in its buffer comes behind it on the same stream.
void BroughtLayers::drop_coming() {
  if (coming_.empty()) return;
  next_buffer_ = coming_.front().buffer;
  coming_.clear();
}

void BroughtLayers::begin_pass(const CachePass& pass) {
  if (at_work_ || (pass_ && released_ != layers())) {
    throw InternalError("attention caches: a pass begins before the last one has been through all layers");
  }
  if (!coming_.empty() && coming_.front().pass != pass) drop_coming();
  pass_ = pass;
  next_pass_.reset();
  released_ = 0;
  bring_what_fits();
}

void BroughtLayers::expect(const CachePass& next) {
  next_pass_ = next;
  bring_what_fits();
}

std::optional<BroughtLayers::Coming> BroughtLayers::next_to_bring() const {
  const Coming* last = !coming_.empty() ? &coming_.back() : (at_work_ ? &*at_work_ : nullptr);
  Coming next{*pass_, 0, next_buffer_};
  if (last != nullptr) {
    next.pass = last->pass;
    next.layer = last->layer + 1;
  } else {
    next.layer = released_;
  }
  if (next.layer < layers()) {
    const bool ahead = next.pass != *pass_;
    // The pass that is under way may be about to make rows which the next one reads.
    return !ahead || next.layer < released_ ? std::optional(next) : std::nullopt;
  }
  if (next.pass != *pass_ || !next_pass_ || *next_pass_ == *pass_ || released_ == 0) return std::nullopt;
  return Coming{*next_pass_, 0, next_buffer_};
}

void BroughtLayers::bring_what_fits() {
  while (pass_ && coming_.size() + (at_work_ ? 1 : 0) < buffers_.size()) {
    const std::optional<Coming> next = next_to_bring();
    if (!next) return;
    bring(*next);
    coming_.push_back(*next);
    next_buffer_ = (next_buffer_ + 1) % buffers_.size();
  }
}

void BroughtLayers::bring(const Coming& coming) {
  const SideStream::Scope beside(bringing_);
  Buffer& buffer = buffers_[coming.buffer];
  ready_.let_wait(device_);
  buffer.used.let_wait(device_);
  buffer.written.let_wait(device_);
  kept_.written(coming.pass.timestep, coming.layer).let_wait(device_);
  const Condition& condition = condition_[static_cast<size_t>(coming.layer)];
  launch_copy(buffer.rows.key.narrow(0, 0, shape_.condition_tokens()), condition.key);
  launch_copy(buffer.rows.value.narrow(0, 0, shape_.condition_tokens()), condition.value);
  for (int64_t block = 0; block < coming.pass.filled; ++block) {
    if (block != coming.pass.block) bring_block(buffer, coming, block);
  }
  buffer.brought.set(device_);
}

void BroughtLayers::bring_block(Buffer& buffer, const Coming& coming, int64_t block) {
  const KeptWindow::Piece& kept = kept_.piece(coming.pass.timestep, coming.layer, block);
  const auto bring_rows = [&](const at::Tensor& from, const at::Tensor& scale, const at::Tensor& staged,
                              const at::Tensor& to) {
    if (!kept_.fp8(coming.layer)) {
      launch_copy(to, from);
      return;
    }
    at::Tensor rows = from;
    if (kept_.on_host(coming.layer)) {
      rows = staged.narrow(0, block * shape_.block_tokens, shape_.block_tokens);
      launch_copy(rows, from);
    }
    dequantize({rows, scale}, to.view(rows.sizes()));
  };
  bring_rows(kept.key, kept.key_scale, buffer.staged.key, window(buffer.rows.key, block));
  bring_rows(kept.value, kept.value_scale, buffer.staged.value, window(buffer.rows.value, block));
}

PassKeys BroughtLayers::acquire(int64_t layer, const at::Tensor& rope) {
  if (at_work_ || coming_.empty() || coming_.front().layer != layer || coming_.front().pass != *pass_) {
    throw InternalError("attention caches: layer " + std::to_string(layer) + " is asked for out of its turn");
  }
  at_work_ = coming_.front();
  coming_.pop_front();
  const Buffer& buffer = buffers_[at_work_->buffer];
  buffer.brought.let_wait(device_);
  const at::Tensor reference = buffer.rows.key.narrow(0, 0, shape_.reference_tokens);
  rotate_rows(reference, rope, reference);
  const int64_t begin = shape_.condition_tokens() + pass_->block * shape_.block_tokens;
  return {narrowed(buffer.rows, begin, shape_.block_tokens),
          narrowed(buffer.rows, 0, shape_.condition_tokens() + pass_->filled * shape_.block_tokens)};
}

void BroughtLayers::release(int64_t layer) {
  if (!at_work_ || at_work_->layer != layer) {
    throw InternalError("attention caches: layer " + std::to_string(layer) + " is released, but not in use");
  }
  const Coming done = *std::exchange(at_work_, std::nullopt);
  released_ = layer + 1;
  buffers_[done.buffer].used.set(device_);
  write_back(done);
  bring_what_fits();
}

void BroughtLayers::write_back(const Coming& done) {
  const KeptWindow::Piece& to = kept_.piece_to_write(done.pass.timestep, done.layer, done.pass.block);
  const SideStream::Scope beside(writing_);
  Buffer& buffer = buffers_[done.buffer];
  buffer.used.let_wait(device_);
  const auto write = [&](const at::Tensor& made, const at::Tensor& kept, const at::Tensor& scale) {
    if (!kept_.fp8(done.layer)) {
      launch_copy(kept, made);
      return;
    }
    const Rows rows = quantize(made.view(kept.sizes()));
    launch_copy(kept, rows.values);
    launch_copy(scale, rows.scale);
  };
  write(window(buffer.rows.key, done.pass.block), to.key, to.key_scale);
  write(window(buffer.rows.value, done.pass.block), to.value, to.value_scale);
  buffer.written.set(device_);
  kept_.written(done.pass.timestep, done.layer).set(device_);
}

std::vector<CachedRows> BroughtLayers::rows(int64_t timestep, int64_t layer, int64_t begin,
                                            int64_t end) const {
  kept_.written(timestep, layer).wait();
  const bool lasting = kept_.on_host(layer);
  CachedRows key{timestep, layer, CachedRows::What::kKey, {}, lasting};
  CachedRows value{timestep, layer, CachedRows::What::kValue, {}, lasting};
  CachedRows key_scale{timestep, layer, CachedRows::What::kKeyScale, {}, false};
  CachedRows value_scale{timestep, layer, CachedRows::What::kValueScale, {}, false};
  for (int64_t block = begin; block < end; ++block) {
    const KeptWindow::Piece& piece = kept_.piece(timestep, layer, block);
    key.parts.push_back(piece.key);
    value.parts.push_back(piece.value);
    key_scale.parts.push_back(piece.key_scale);
    value_scale.parts.push_back(piece.value_scale);
  }
  std::vector<CachedRows> rows{std::move(key), std::move(value)};
  if (kept_.fp8(layer)) {
    rows.push_back(std::move(key_scale));
    rows.push_back(std::move(value_scale));
  }
  return rows;
}

}  // namespace latentcast
