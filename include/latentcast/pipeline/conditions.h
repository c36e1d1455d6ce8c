#pragma once

#include <memory>

#include <ATen/core/Tensor.h>

#include "latentcast/comm/activity.h"
#include "latentcast/config/render_job.h"
#include "latentcast/config/size.h"
#include "latentcast/device/device.h"
#include "latentcast/media/picture.h"
#include "latentcast/media/pose_video.h"
#include "latentcast/model/vae/encoder.h"
#include "latentcast/pipeline/checkpoint.h"
#include "latentcast/pipeline/trace.h"

namespace latentcast {

/// A job's inputs, read and checked but not yet encoded.
struct Inputs {
  FrameSize size;
  at::Tensor picture;  ///< [3, H, W] in −1..1
  std::vector<int32_t> token_ids;
  std::vector<std::vector<float>> sounds;  ///< one a speaker, mono, 16 kHz
  double sound_seconds = 0;                ///< of the longest
  std::vector<at::Tensor> masks;           ///< [H, W] uint8, one a speaker, or none

  int64_t latent_rows() const { return size.height / 8; }
  int64_t latent_columns() const { return size.width / 8; }
};

/// Throws InputError naming the input that can't be used.
Inputs read_inputs(const RenderJob& job, const Checkpoint& checkpoint);

/// What the encoders made of the inputs: once a render, on the CPU in float32.
struct Conditions {
  at::Tensor text;               ///< [tokens, text_dim]
  at::Tensor reference_latents;  ///< [16, 1, h, w]
  at::Tensor motion_latents;     ///< [16, 19, h, w]
  at::Tensor audio;         ///< [speakers, frames, audio_dim], the encoder's hidden states summed by weight
  at::Tensor speaker_mask;  ///< [speakers, latents, h/2, w/2] or undefined
  int64_t clips = 0;        ///< clips that the (shortest) sound fills
};

/// Runs the text, audio and picture encoders one after the other, each freed before the next.
Conditions encode_conditions(const RenderJob& job, const Checkpoint& checkpoint, const Inputs& inputs,
                             const ComputeDevice& device, Trace& trace, Activity& activity);

/// Pose latents clip by clip, encoded when they are asked for.
class PoseLatents {
 public:
  /// Begins with `first_clip`; those before it are passed over.
  PoseLatents(const RenderJob& job, const Checkpoint& checkpoint, const Inputs& inputs,
              const ComputeDevice& device, Activity& activity, int64_t first_clip = 0);

  /// [16, latents of a clip, h, w] of the next clip; zeros if the job has no pose video. Call once a clip, in
  /// order.
  at::Tensor next_clip(Trace& trace);

 private:
  at::Tensor encode(const std::vector<float>& frames) const;

  int infer_frames_;
  FrameSize size_;
  int64_t clip_ = 0;
  std::optional<PoseReader> reader_;
  std::unique_ptr<VaeEncoder> encoder_;  // held only while there is a video to encode
  const Checkpoint& checkpoint_;
  ComputeDevice device_;
  Activity& activity_;
};

}  // namespace latentcast
