#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

namespace latentcast {

/// Copies bytes of files to a GPU: the computing threads read a piece into a pinned buffer while earlier
/// pieces are on their way. Takes kBuffers · kPieceBytes of pinned memory, when first used. One thread at a
/// time.
class Upload {
 public:
  static constexpr int64_t kPieceBytes = int64_t{32} << 20;
  static constexpr size_t kBuffers = 3;

  /// A CPU as device copies through buffers just so; for tests.
  explicit Upload(at::Device device) : device_(device) {}

  /// Reads a part of what is to be copied: its bytes from `begin` on. Called by several threads at once.
  using Reader = std::function<void(int64_t begin, std::span<std::byte> to)>;

  /// `to` [n] uint8 on the device. Everything is read when it returns; the copy is in the order of the
  /// current stream.
  void copy(const Reader& read, const at::Tensor& to);

 private:
  struct Buffer {
    at::Tensor bytes;  ///< [kPieceBytes] uint8
    c10::Event sent;   ///< the end of its last copy
  };
  at::Tensor free_buffer();
  void sent(const at::Tensor& buffer);

  at::Device device_;
  std::deque<Buffer> on_their_way_;  ///< oldest first
};

}  // namespace latentcast
