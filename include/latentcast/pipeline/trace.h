#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

namespace latentcast {

/// Writes what the stages of a render gave to a safetensors file, under the names of docs/trace.md. A render
/// without
/// --trace has none of these; every function may be called on any Trace, an inactive one does nothing.
class Trace {
 public:
  /// Inactive.
  Trace();
  /// Active; steps and blocks are kept for the first `blocks` blocks, or all. Throws OutputError if the place
  /// can't be written to.
  Trace(const std::filesystem::path& path, std::optional<int> blocks);
  ~Trace();
  Trace(Trace&&) noexcept;
  Trace& operator=(Trace&&) noexcept;

  bool active() const { return impl_ != nullptr; }
  /// Whether steps and latents of this block (counted over all clips) are kept.
  bool keeps_block(int64_t block) const;

  /// Keeps a tensor, from any device; bf16 is widened to float32.
  void add(const std::string& name, const at::Tensor& tensor);
  /// Adds rows (first dimension) to a tensor that grows.
  void append(const std::string& name, const at::Tensor& rows);
  /// Writes the file. Nothing is left behind if this isn't called.
  void close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Input latents of steps as another render's trace has them (--trace_inputs).
class TraceInputs {
 public:
  /// None.
  TraceInputs() = default;
  /// Throws InputError if the file is no safetensors file.
  explicit TraceInputs(const std::filesystem::path& path);

  /// What the trace gave to this step, [16, 3, h, w] float32 on the CPU; undefined if it has nothing for it.
  at::Tensor latents_in(size_t timestep, int64_t block) const;

 private:
  std::shared_ptr<const class TensorArchive> archive_;
};

/// Name of a step's tensors in a trace, the dot at its end included. Blocks are counted over all clips.
std::string step_name(size_t timestep, int64_t block);

}  // namespace latentcast
