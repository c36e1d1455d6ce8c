#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

namespace latentcast {

/// What the encoders made of the inputs and is as long as the render is not: float32 on the CPU.
struct StoredConditions {
  at::Tensor text;               ///< [tokens, text_dim]
  at::Tensor reference_latents;  ///< [16, 1, h, w]
  at::Tensor motion_latents;     ///< [16, 19, h, w]
  at::Tensor speaker_mask;       ///< [speakers, latents, h/2, w/2] or undefined
  int64_t clips = 0;             ///< that the (shortest) sound fills
};

/// Writes conditions.h5 beside its name (…h5.part), clip by clip; it appears when it is whole.
class ConditionWriter {
 public:
  /// A new file. `identity`: JobIdentity::hash() of the job that it belongs to. Throws OutputError.
  ConditionWriter(const std::filesystem::path& file, const std::string& identity,
                  const StoredConditions& conditions);
  /// One with what `file` holds already, for more clips of pose.
  static ConditionWriter extend(const std::filesystem::path& file);
  ~ConditionWriter();
  ConditionWriter(ConditionWriter&&) noexcept;

  /// The next clip's sound features [speakers, frames of a clip, audio_dim]; all `clips` of them in order.
  void add_audio(const at::Tensor& clip);
  /// The next clip's pose latents [16, latents of a clip, h, w]; none, or as many as will be rendered.
  void add_pose(const at::Tensor& clip);
  /// Makes the file durable and gives it its name.
  void close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Reads conditions.h5: small things at once, the rest a clip at a time. Everything read is compared with its
/// checksum.
class ConditionStore {
 public:
  /// Throws InputError if the file is damaged or another job's; nothing if there is none.
  static std::optional<ConditionStore> open(const std::filesystem::path& file, const std::string& identity);
  ~ConditionStore();
  ConditionStore(ConditionStore&&) noexcept;
  ConditionStore& operator=(ConditionStore&&) noexcept;

  const StoredConditions& conditions() const;
  /// [speakers, frames of a clip, audio_dim]
  at::Tensor audio(int64_t clip) const;
  /// Clips of pose that are there; 0 if the job has no pose video.
  int64_t pose_clips() const;
  at::Tensor pose(int64_t clip) const;

 private:
  friend class ConditionWriter;
  class Impl;
  explicit ConditionStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace latentcast
