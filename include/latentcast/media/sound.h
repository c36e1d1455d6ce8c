#pragma once

#include <filesystem>
#include <vector>

namespace latentcast {

/// What a sound file is, without decoding it.
struct SoundInfo {
  double seconds = 0;
  int sample_rate = 0;
  int channels = 0;
};

/// Length, rate and channels of a sound file. Throws InputError naming the file as read_sound() does.
SoundInfo probe_sound(const std::filesystem::path& path);

/// The whole sound as mono samples (the mean of its channels, full scale = 1) at `sample_rate`. Resampled by
/// soxr in high quality; a sound already at that rate is returned as decoded. Throws InputError naming the
/// file if it is missing, no sound, empty, or holds samples that are not numbers.
std::vector<float> read_sound(const std::filesystem::path& path, int sample_rate = 16000);

}  // namespace latentcast
