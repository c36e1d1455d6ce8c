#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace latentcast::cuda {

/// Memory of the current GPU that can be mapped in several places.
class MappablePiece {
 public:
  /// `bytes` are rounded up to the GPU's granularity (2 MiB). Throws std::bad_alloc if there is no
  /// room, or none within the limit (memory_limit.h).
  MappablePiece(int device, size_t bytes);
  ~MappablePiece();
  MappablePiece(const MappablePiece&) = delete;
  MappablePiece& operator=(const MappablePiece&) = delete;
  size_t bytes() const { return bytes_; }
  unsigned long long handle() const { return handle_; }

 private:
  size_t bytes_ = 0;
  unsigned long long handle_ = 0;
};

/// Pieces mapped one behind the other, for the GPU to read and write. The pieces live as long as this.
class Mapping {
 public:
  Mapping(int device, std::vector<std::shared_ptr<const MappablePiece>> pieces);
  /// Waits for the GPU: nothing that it still does may touch the place.
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  char* begin() const { return reinterpret_cast<char*>(address_); }

 private:
  void unmap(size_t pieces);

  std::vector<std::shared_ptr<const MappablePiece>> pieces_;
  unsigned long long address_ = 0;
  size_t bytes_ = 0;
  int device_ = 0;
};

}  // namespace latentcast::cuda
