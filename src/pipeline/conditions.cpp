#include "latentcast/pipeline/conditions.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/model/audio/frame_alignment.h"
#include "latentcast/model/dit/speaker_mask.h"
#include "latentcast/model/text/t5_encoder.h"
#include "latentcast/model/vae/latent_scale.h"

namespace latentcast {
namespace {

// The picture, repeated, stands for the video's past: 73 frames, 19 latents.
constexpr int64_t kMotionFrames = 73;

at::Tensor encode_prompt(const Checkpoint& checkpoint, const Inputs& inputs, const ComputeDevice& device,
                         Trace& trace) {
  CheckpointSource source = checkpoint.text_source(device);
  const at::Tensor text = encode_text(source, inputs.token_ids).to(at::kCPU, at::kFloat);
  trace.add("token_ids", at::tensor(at::ArrayRef<int32_t>(inputs.token_ids), at::kInt).to(at::kLong));
  trace.add("text_embedding", text);
  return text;
}

/// Hidden state [encoder frames, width] -> [video frames, width]: to 30 a second by linear interpolation,
/// then picked at 25 a second; silence where the sound has ended.
at::Tensor to_video_frames(const at::Tensor& hidden, const AudioAlignment& alignment, int64_t features) {
  const at::Tensor wide = hidden.to(at::kFloat).transpose(0, 1).unsqueeze(0);
  const at::Tensor at_30 =
      at::upsample_linear1d(wide, {features}, /*align_corners=*/true).squeeze(0).transpose(0, 1);
  const auto ended = std::lower_bound(alignment.picked.begin(), alignment.picked.end(), features);
  const auto heard = static_cast<int64_t>(ended - alignment.picked.begin());
  const at::Tensor picks =
      at::tensor(at::ArrayRef<int64_t>(alignment.picked.data(), static_cast<size_t>(heard)), at::kLong);
  at::Tensor frames =
      at::zeros({static_cast<int64_t>(alignment.picked.size()), hidden.size(1)}, wide.options());
  frames.narrow(0, 0, heard).copy_(at_30.index_select(0, picks.to(at_30.device())));
  return frames;
}

struct SpeakerFeatures {
  at::Tensor features;  // [frames, audio_dim]
  int64_t clips;
};

SpeakerFeatures encode_speaker(const RenderJob& job, const Checkpoint& checkpoint,
                               const std::vector<float>& sound, const at::Tensor& layer_weights,
                               const ComputeDevice& device, Activity& activity, Trace& trace,
                               const std::string& trace_name) {
  SpeakerFeatures result{};
  std::vector<at::Tensor> kept;
  CheckpointSource source = checkpoint.audio_source(device);
  const auto take = [&](int64_t index, const at::Tensor& hidden) {
    const int64_t features = features_at_30(hidden.size(0));
    if (features < 1) {
      throw InputError("the sound is too short for one video frame; give at least a tenth of a second");
    }
    const AudioAlignment alignment = align_audio(features, job.infer_frames);
    const at::Tensor frames = to_video_frames(hidden, alignment, features).to(at::kCPU);
    const at::Tensor weighted = frames * layer_weights[index];
    result.features = index == 0 ? weighted : result.features.add_(weighted);
    result.clips = alignment.clips;
    if (trace.active()) {
      kept.push_back(frames);
    }
  };
  encode_sound(source, checkpoint.audio_config, sound, take, [&] { activity.advance(); });
  if (trace.active()) {
    trace.add(trace_name, at::stack(kept).transpose(1, 2));
  }
  return result;
}

void encode_sounds(const RenderJob& job, const Checkpoint& checkpoint, const Inputs& inputs,
                   const ComputeDevice& device, Activity& activity, Trace& trace, Conditions& conditions) {
  CheckpointSource dit = checkpoint.dit_source({});
  const at::Tensor layer_weights = take_audio_layer_weights(dit, checkpoint.dit_config);
  std::vector<at::Tensor> features;
  int64_t clips_of_last = 0;
  for (size_t i = 0; i < inputs.sounds.size(); ++i) {
    const std::string name = "audio_embedding" + (i == 0 ? std::string() : std::to_string(i + 1));
    const SpeakerFeatures speaker =
        encode_speaker(job, checkpoint, inputs.sounds[i], layer_weights, device, activity, trace, name);
    clips_of_last = speaker.clips;
    conditions.clips = i == 0 ? speaker.clips : std::min(conditions.clips, speaker.clips);
    features.push_back(speaker.features);
  }
  for (at::Tensor& f : features) {
    f = f.narrow(0, 0, conditions.clips * job.infer_frames);
  }
  conditions.audio = at::stack(features);
  trace.add("clips_in_audio", at::full({1}, clips_of_last, at::kLong));
}

void encode_picture(const Checkpoint& checkpoint, const Inputs& inputs, const ComputeDevice& device,
                    Trace& trace, Activity& activity, Conditions& conditions) {
  CheckpointSource source = checkpoint.vae_source(device);
  const VaeEncoder encoder(source);
  const at::Tensor picture = inputs.picture.to(device.device).unsqueeze(1);
  const at::Tensor latents = encoder.encode(kMotionFrames, [&](int64_t first, int64_t count) {
    activity.part("frame " + std::to_string(first));
    return picture.expand({-1, count, -1, -1});
  });
  conditions.motion_latents = latents.to(at::kCPU);
  // The encoder is causal: the first latent is what the picture alone gives.
  conditions.reference_latents = conditions.motion_latents.narrow(1, 0, 1);
  trace.add("ref_pixels", inputs.picture.unsqueeze(1));
  trace.add("ref_latents", conditions.reference_latents);
  trace.add("motion_latents", conditions.motion_latents);
}

}  // namespace

Conditions encode_conditions(const RenderJob& job, const Checkpoint& checkpoint, const Inputs& inputs,
                             const ComputeDevice& device, Trace& trace, Activity& activity) {
  Conditions conditions;
  activity.begin("encoding the prompt");
  conditions.text = encode_prompt(checkpoint, inputs, device, trace);
  release_cached_memory(device);
  activity.begin("encoding the sound");
  encode_sounds(job, checkpoint, inputs, device, activity, trace, conditions);
  release_cached_memory(device);
  activity.begin("encoding the picture");
  encode_picture(checkpoint, inputs, device, trace, activity, conditions);
  release_cached_memory(device);
  if (inputs.masks.size() > 1) {
    conditions.speaker_mask = speaker_regions(inputs.masks, job.infer_frames / kFramesPerLatent,
                                              inputs.latent_rows() / 2, inputs.latent_columns() / 2);
    trace.add("actor_mask", conditions.speaker_mask);
  }
  return conditions;
}

PoseLatents::PoseLatents(const RenderJob& job, const Checkpoint& checkpoint, const Inputs& inputs,
                         const ComputeDevice& device, Activity& activity, int64_t first_clip)
    : infer_frames_(job.infer_frames),
      size_(inputs.size),
      clip_(first_clip),
      checkpoint_(checkpoint),
      device_(device),
      activity_(activity) {
  if (!job.pose_video.empty()) {
    reader_.emplace(job.pose_video, size_.width, size_.height);
    reader_->skip(first_clip * infer_frames_);
    CheckpointSource source = checkpoint.vae_source(device);
    encoder_ = std::make_unique<VaeEncoder>(source);
  }
}

at::Tensor PoseLatents::encode(const std::vector<float>& frames) const {
  const at::Tensor video = at::from_blob(const_cast<float*>(frames.data()),
                                         {3, infer_frames_, size_.height, size_.width}, at::kFloat);
  // The clip's first frame once more in front; its latent is dropped by the caller.
  return encoder_
      ->encode(1 + infer_frames_,
               [&](int64_t first, int64_t count) {
                 activity_.part("pose frame " + std::to_string(first));
                 return video.narrow(1, std::max<int64_t>(first - 1, 0), count).to(device_.device);
               })
      .to(at::kCPU);
}

at::Tensor PoseLatents::next_clip(Trace& trace) {
  const int64_t latents = infer_frames_ / kFramesPerLatent;
  const std::string name = "pose_latents" + (clip_ == 0 ? std::string() : std::to_string(clip_ + 2));
  ++clip_;
  if (reader_) {
    const at::Tensor encoded = encode(reader_->read(infer_frames_));
    trace.add(name, encoded);
    return encoded.narrow(1, 1, latents);
  }
  if (trace.active() && clip_ == 1) {
    // Not used without a pose video, but the public code computes it, so a trace has it.
    CheckpointSource source = checkpoint_.vae_source(device_);
    encoder_ = std::make_unique<VaeEncoder>(source);
    trace.add(name, encode(std::vector<float>(
                        static_cast<size_t>(3) * infer_frames_ * size_.height * size_.width, -1.0f)));
    encoder_.reset();
  }
  return at::zeros({kLatentChannels, latents, size_.height / 8, size_.width / 8}, at::kFloat);
}

}  // namespace latentcast
