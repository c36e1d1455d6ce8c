#include "kept_window.h"

#include <utility>

#include <ATen/ATen.h>

namespace latentcast {
namespace {

/// Whether somebody else holds these rows, or a view of them.
bool is_shared(const at::Tensor& rows) { return rows.use_count() > 1 || rows.storage().use_count() > 1; }

}  // namespace

KeptWindow::KeptWindow(const AttentionCacheShape& shape, const std::vector<Kind>& layers,
                       const at::TensorOptions& options, const HostMemory& memory)
    : shape_(shape), kinds_(layers), options_(options), memory_(memory) {
  const at::TensorOptions scale = options.dtype(at::kFloat);
  for (int64_t t = 0; t < shape.timesteps; ++t) {
    for (const Kind& kind : kinds_) {
      for (int64_t block = 0; block < shape.blocks; ++block) {
        Piece piece{make_rows(kind), make_rows(kind), {}, {}};
        if (kind.fp8) {
          piece.key_scale = at::ones({shape.block_tokens, 1}, scale);
          piece.value_scale = at::ones({shape.block_tokens, 1}, scale);
        }
        pieces_.push_back(std::move(piece));
      }
    }
  }
  written_.resize(static_cast<size_t>(shape.timesteps) * kinds_.size());
}

at::Tensor KeptWindow::make_rows(const Kind& kind) const {
  const at::ScalarType type = kind.fp8 ? at::kFloat8_e4m3fn : c10::typeMetaToScalarType(options_.dtype());
  const std::vector<int64_t> sizes = kind.fp8
                                         ? std::vector{shape_.block_tokens, shape_.dim()}
                                         : std::vector{shape_.block_tokens, shape_.heads, shape_.head_dim};
  if (!kind.on_host) return at::empty(sizes, options_.dtype(type));
  // Nobody reads what wasn't written: that would be blocks which are still to come.
  const int64_t bytes = shape_.block_tokens * shape_.dim() * static_cast<int64_t>(c10::elementSize(type));
  at::Tensor memory = memory_(bytes);
  void* const place = memory.mutable_data_ptr();
  // A tensor of its own, not a view: whoever else holds it is seen by its count.
  return at::from_blob(
      place, sizes, [memory = std::move(memory)](void*) mutable { memory.reset(); },
      at::TensorOptions().dtype(type));
}

const KeptWindow::Piece& KeptWindow::piece_to_write(int64_t timestep, int64_t layer, int64_t block) {
  Piece& piece =
      pieces_[index(timestep, layer) * static_cast<size_t>(shape_.blocks) + static_cast<size_t>(block)];
  const Kind& kind = kinds_[static_cast<size_t>(layer)];
  if (kind.on_host && is_shared(piece.key)) piece.key = make_rows(kind);
  if (kind.on_host && is_shared(piece.value)) piece.value = make_rows(kind);
  return piece;
}

}  // namespace latentcast
