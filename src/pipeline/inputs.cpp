#include <algorithm>

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/media/sound.h"
#include "latentcast/model/dit/speaker_mask.h"
#include "latentcast/model/text/clean_text.h"
#include "latentcast/model/text/tokenizer.h"
#include "latentcast/pipeline/conditions.h"

namespace latentcast {
namespace {

constexpr int kSampleRate = 16000;
constexpr int64_t kShortestSound = kSampleRate / 10;

at::Tensor to_tensor(const Picture& picture) {
  const at::Tensor bytes =
      at::from_blob(const_cast<uint8_t*>(picture.rgb.data()), {picture.height, picture.width, 3}, at::kByte);
  return bytes.permute({2, 0, 1}).to(at::kFloat).div_(255.0).mul_(2.0).sub_(1.0).contiguous();
}

at::Tensor to_tensor(const Mask& mask) {
  return at::from_blob(const_cast<uint8_t*>(mask.inside.data()), {mask.height, mask.width}, at::kByte)
      .clone();
}

/// Runs `read`; what it refuses is said with the input's name in front.
template <typename Read>
auto naming(const std::string& input, Read read) {
  try {
    return read();
  } catch (const InputError& error) {
    throw InputError(input + ": " + error.what());
  }
}

std::vector<int32_t> read_prompt(const RenderJob& job, const Checkpoint& checkpoint) {
  const Tokenizer tokenizer(checkpoint.tokenizer);
  const std::string name = job.prompt ? "--prompt" : job.prompt_file.string();
  return naming(name, [&] {
    return tokenizer.encode(clean_prompt(prompt_text(job)), static_cast<int>(checkpoint.dit_config.text_len));
  });
}

/// A speaker's mask says where the *other* voices don't reach, so one without any place, or one that leaves
/// another voice none, is a mistake.
void check_masks(const RenderJob& job, const Inputs& inputs) {
  for (size_t speaker = 0; speaker < inputs.masks.size(); ++speaker) {
    if (!inputs.masks[speaker].any().item<bool>()) {
      throw InputError("--masks: " + job.masks[speaker].string() + " is black all over, so speaker " +
                       std::to_string(speaker + 1) + " is nowhere; paint the place of this speaker white");
    }
  }
  if (inputs.masks.size() < 2) return;
  const at::Tensor regions =
      speaker_regions(inputs.masks, 1, inputs.latent_rows() / 2, inputs.latent_columns() / 2);
  for (size_t speaker = 0; speaker < inputs.masks.size(); ++speaker) {
    if (!regions[static_cast<int64_t>(speaker)].any().item<bool>()) {
      throw InputError("--masks: those of the other speakers leave no place to the voice of speaker " +
                       std::to_string(speaker + 1) + " (" + job.masks[speaker].string() +
                       "); paint only where each speaker is");
    }
  }
}

std::vector<float> read_speech(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  std::vector<float> sound = read_sound(path, kSampleRate);
  if (static_cast<int64_t>(sound.size()) <
      std::max(kShortestSound, shortest_sound(checkpoint.audio_config))) {
    throw InputError(path.string() + ": the sound is too short (" + std::to_string(sound.size()) +
                     " samples at 16 kHz); give at least a tenth of a second");
  }
  return sound;
}

}  // namespace

Inputs read_inputs(const RenderJob& job, const Checkpoint& checkpoint) {
  Inputs inputs;
  const Picture picture = read_picture(job.image);
  inputs.size =
      naming(job.image.string(), [&] { return fit_to_area(picture.width, picture.height, area(job)); });
  inputs.picture = to_tensor(resize_and_crop(picture, inputs.size.width, inputs.size.height));
  inputs.token_ids = read_prompt(job, checkpoint);
  for (const std::filesystem::path& path : job.audio) {
    inputs.sounds.push_back(read_speech(path, checkpoint));
    inputs.sound_seconds =
        std::max(inputs.sound_seconds, static_cast<double>(inputs.sounds.back().size()) / kSampleRate);
  }
  for (const std::filesystem::path& path : job.masks) {
    inputs.masks.push_back(to_tensor(read_mask(path)));
  }
  check_masks(job, inputs);
  return inputs;
}

}  // namespace latentcast
