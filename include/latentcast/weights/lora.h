#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/weights/tensor_view.h"

namespace latentcast {

/// Low-rank changes of a checkpoint's weights: for a weight X [out, in] a pair A [rank, in], B [out, rank],
/// and X + scale * B * A with scale = alpha / rank.
class LoraAdapter {
 public:
  /// `alpha`: as given, else what the file says, else rank / 2.
  /// Throws InputError naming the file on A without B or B without A, shapes that don't fit, and unknown
  /// names.
  explicit LoraAdapter(std::shared_ptr<const TensorArchive> archive,
                       std::optional<double> alpha = std::nullopt);

  const std::string& file() const;
  /// Names of the changed weights without `.weight`, sorted.
  std::vector<std::string> targets() const;
  bool has(std::string_view target) const;

  /// Rows that are always multiplied together: a product over other rows may round differently, so whoever
  /// computes a part of a change, and whoever computes the whole, does it in these blocks, counted from row
  /// 0.
  static constexpr int64_t kBlockRows = 256;

  /// scale * B * A [out, in] in float32 on `device`. Throws InputError if its shape isn't `shape`.
  at::Tensor delta(const std::string& target, at::IntArrayRef shape, at::Device device) const;
  /// The rows of delta() in blocks [first_block, last_block), bit for bit; the last block of all may be
  /// shorter.
  at::Tensor delta_rows(const std::string& target, at::IntArrayRef shape, int64_t first_block,
                        int64_t last_block, at::Device device) const;

 private:
  struct Pair {
    const TensorView* a = nullptr;
    const TensorView* b = nullptr;
    std::optional<double> alpha;
  };
  void collect(std::optional<double> given);
  void check(const std::string& target, const Pair& pair) const;
  const Pair& pair_of(const std::string& target, at::IntArrayRef shape) const;

  std::shared_ptr<const TensorArchive> archive_;
  std::map<std::string, Pair, std::less<>> pairs_;
};

}  // namespace latentcast
