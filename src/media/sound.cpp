#include "latentcast/media/sound.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <span>

#include "media_input.h"
#include "resampler.h"
#include "sound_decoder.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

void append_mean(std::span<const float> interleaved, int channels, std::vector<float>& mono) {
  for (size_t i = 0; i + channels <= interleaved.size(); i += channels) {
    float sum = 0;
    for (int c = 0; c < channels; ++c) sum += interleaved[i + c];
    mono.push_back(sum / static_cast<float>(channels));
  }
}

struct Skips {
  uint32_t at_start = 0;
  uint32_t at_end = 0;
};

/// What the decoder will throw away of this packet: the encoder's run-up and padding.
Skips skips_of(const AVPacket& packet) {
  Skips skips;
  size_t size = 0;
  const uint8_t* data = av_packet_get_side_data(&packet, AV_PKT_DATA_SKIP_SAMPLES, &size);
  if (data && size >= 8) {
    std::memcpy(&skips.at_start, data, 4);  // little endian, as this program's machines are
    std::memcpy(&skips.at_end, data + 4, 4);
  }
  return skips;
}

/// From the packets, because some formats' headers only guess.
double count_seconds(MediaInput& input) {
  int64_t first = std::numeric_limits<int64_t>::max();
  int64_t end = std::numeric_limits<int64_t>::min();
  int64_t skipped = 0;
  while (const AVPacket* packet = input.next_packet()) {
    const Skips skips = skips_of(*packet);
    skipped += int64_t{skips.at_start} + skips.at_end;
    const int64_t start = packet->pts != AV_NOPTS_VALUE ? packet->pts : std::max<int64_t>(end, 0);
    first = std::min(first, start);
    end = std::max(end, start + packet->duration);
  }
  if (first > end) return 0;
  const AVStream& stream = input.stream();
  const double seconds = static_cast<double>(end - first) * av_q2d(stream.time_base);
  return seconds - static_cast<double>(skipped) / stream.codecpar->sample_rate;
}

}  // namespace

SoundInfo probe_sound(const std::filesystem::path& path) {
  MediaInput input(path, AVMEDIA_TYPE_AUDIO, "sound");
  const AVStream& stream = input.stream();
  SoundInfo info{0, stream.codecpar->sample_rate, stream.codecpar->ch_layout.nb_channels};
  if (info.sample_rate <= 0 || info.channels <= 0) input.fail("there is no sound in it; give another file");
  // Ogg says where its sound ends, and its packets' times don't say where it begins.
  const bool knows_end = std::strcmp(input.format().iformat->name, "ogg") == 0 && stream.duration > 0;
  info.seconds = knows_end ? static_cast<double>(stream.duration) * av_q2d(stream.time_base) -
                                 static_cast<double>(stream.codecpar->initial_padding) / info.sample_rate
                           : count_seconds(input);
  if (!(info.seconds > 0)) input.fail("it is empty; give a sound that lasts");
  return info;
}

std::vector<float> read_sound(const std::filesystem::path& path, int sample_rate) {
  SoundDecoder decoder(path, /*fold_to_stereo=*/false);
  std::optional<Resampler> resampler;
  if (decoder.sample_rate() != sample_rate) resampler.emplace(decoder.sample_rate(), sample_rate, 1);
  std::vector<float> samples;
  std::vector<float> mono;
  int64_t read = 0;
  for (auto block = decoder.next(); !block.empty(); block = decoder.next()) {
    std::vector<float>& target = resampler ? mono : samples;
    mono.clear();
    const size_t before = target.size();
    append_mean(block, decoder.channels(), target);
    read += static_cast<int64_t>(target.size() - before);
    if (resampler) resampler->push(mono, samples);
  }
  if (read == 0) throw_unreadable(path, "sound", "it is empty; give a sound that lasts");
  if (resampler) {
    resampler->finish(samples);
    // librosa's count, which the public code's audio frames follow from.
    const double ratio = static_cast<double>(sample_rate) / decoder.sample_rate();
    samples.resize(static_cast<size_t>(std::ceil(static_cast<double>(read) * ratio)));
  }
  return samples;
}

}  // namespace latentcast
