#include "latentcast/media/sound_track.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <span>

#include "aac_encoder.h"
#include "adts.h"
#include "output_file.h"
#include "resampler.h"
#include "sound_decoder.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

constexpr int kLowestRate = 16000;
constexpr int kUsualRate = 48000;

/// One of the sounds, at the track's rate and with the track's channels.
class MixSource {
 public:
  explicit MixSource(const fs::path& path) : path_(path), decoder_(path, /*fold_to_stereo=*/true) {}

  int sample_rate() const { return decoder_.sample_rate(); }
  int channels() const { return decoder_.channels(); }

  void set_rate(int rate) {
    if (rate != sample_rate()) resampler_ = std::make_unique<Resampler>(sample_rate(), rate, channels());
  }

  /// Adds up to mix.size() / mix_channels samples to `mix`; returns how many there were. Fewer only at the
  /// end.
  size_t add_to(std::span<float> mix, int mix_channels) {
    const size_t wanted = mix.size() / mix_channels;
    while (!ended_ && waiting_.size() < wanted * channels()) fill();
    const size_t taken = std::min(wanted, waiting_.size() / channels());
    for (size_t i = 0; i < taken; ++i) {
      for (int c = 0; c < mix_channels; ++c) {
        mix[i * mix_channels + c] += waiting_[i * channels() + std::min(c, channels() - 1)];
      }
    }
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(taken * channels()));
    return taken;
  }

 private:
  void fill() {
    const auto block = decoder_.next();
    ended_ = block.empty();
    any_ = any_ || !ended_;
    if (!any_) throw_unreadable(path_, "sound", "it is empty; give a sound that lasts");
    if (!resampler_) {
      waiting_.insert(waiting_.end(), block.begin(), block.end());
    } else if (ended_) {
      resampler_->finish(waiting_);
    } else {
      resampler_->push(block, waiting_);
    }
  }

  fs::path path_;
  SoundDecoder decoder_;
  std::unique_ptr<Resampler> resampler_;
  std::vector<float> waiting_;
  bool ended_ = false;
  bool any_ = false;
};

std::deque<MixSource> open_sources(const std::vector<fs::path>& sounds) {
  if (sounds.empty()) throw InternalError("a sound track of no sounds");
  std::deque<MixSource> sources;
  for (const fs::path& path : sounds) sources.emplace_back(path);
  return sources;
}

int track_rate(int first_rate) {
  return first_rate >= kLowestRate && aac_knows_rate(first_rate) ? first_rate : kUsualRate;
}

/// Fills `mix` with the next samples of all; returns how many, fewer than asked only at the end.
size_t mix_next(std::deque<MixSource>& sources, std::span<float> mix, int channels) {
  std::fill(mix.begin(), mix.end(), 0.0F);
  size_t longest = 0;
  for (MixSource& source : sources) longest = std::max(longest, source.add_to(mix, channels));
  for (float& sample : mix) sample = std::clamp(sample, -1.0F, 1.0F);
  return longest;
}

}  // namespace

void encode_sound_track(const std::vector<fs::path>& sounds, const fs::path& out, double max_seconds,
                        const std::function<void()>& on_step) {
  std::deque<MixSource> sources = open_sources(sounds);
  const int rate = track_rate(sources.front().sample_rate());
  int channels = 1;
  for (MixSource& source : sources) {
    channels = std::max(channels, source.channels());
    source.set_rate(rate);
  }
  int64_t left = std::numeric_limits<int64_t>::max();
  if (max_seconds > 0) left = std::max<int64_t>(1, std::llround(max_seconds * rate));

  OutputFile file(out);
  AacEncoder encoder(rate, channels, file);
  std::vector<float> mix;
  while (left > 0) {
    const auto wanted = static_cast<size_t>(std::min<int64_t>(left, kAacFrame));
    if (on_step) on_step();
    mix.resize(wanted * channels);
    const size_t got = mix_next(sources, mix, channels);
    if (got > 0) encoder.write(std::span(mix).first(got * channels));
    left = got < wanted ? 0 : left - static_cast<int64_t>(got);
  }
  encoder.finish();
  file.commit();
}

}  // namespace latentcast
