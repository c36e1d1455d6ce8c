#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "latentcast/weights/tensor_view.h"

namespace latentcast {

/// Writes a .safetensors file of any size without holding it: data go to unnamed temporary files in the same
/// folder, and close() puts header and data together in `path.part`, which it renames to `path`. Until then
/// `path` isn't touched; without close() nothing stays behind. Throws OutputError where the disk refuses,
/// InternalError on a name used twice or bytes that don't fit the shape.
class SafetensorsWriter {
 public:
  /// Throws OutputError if the folder can't be written to.
  explicit SafetensorsWriter(std::string path);
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  void add(const std::string& name, DType dtype, std::vector<int64_t> shape,
           std::span<const std::byte> bytes);

  /// Adds rows (one or more, as many as `bytes` has) to a tensor [rows so far, row_shape...].
  void append(const std::string& name, DType dtype, std::vector<int64_t> row_shape,
              std::span<const std::byte> bytes);

  /// On disk (fsynced, renamed) when it returns. No calls after it.
  void close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace latentcast
