#include "sound_decoder.h"

#include <algorithm>
#include <cmath>

#include "latentcast/error.h"

namespace latentcast {
namespace {

AVChannelLayout known_layout(const AVChannelLayout& layout) {
  AVChannelLayout result = {};
  if (layout.order == AV_CHANNEL_ORDER_NATIVE) {
    av_channel_layout_copy(&result, &layout);
  } else {
    av_channel_layout_default(&result, layout.nb_channels);
  }
  return result;
}

}  // namespace

SoundDecoder::SoundDecoder(const std::filesystem::path& path, bool fold_to_stereo)
    : input_(path, AVMEDIA_TYPE_AUDIO, "sound") {
  const AVCodecParameters& parameters = *input_.stream().codecpar;
  sample_rate_ = parameters.sample_rate;
  channels_ = parameters.ch_layout.nb_channels;
  if (sample_rate_ <= 0 || channels_ <= 0) input_.fail("there is no sound in it; give another file");
  if (fold_to_stereo) channels_ = std::min(channels_, 2);
}

void SoundDecoder::prepare(const AVFrame& frame) {
  if (frame.sample_rate != sample_rate_) input_.fail("its sample rate changes midway; convert it first");
  if (frame.format == converter_format_ && frame.ch_layout.nb_channels == converter_channels_) return;
  AVChannelLayout from = known_layout(frame.ch_layout);
  AVChannelLayout to = {};
  if (from.nb_channels == channels_) {
    av_channel_layout_copy(&to, &from);
  } else {
    av_channel_layout_default(&to, channels_);
  }
  SwrContext* converter = nullptr;
  int code = swr_alloc_set_opts2(&converter, &to, AV_SAMPLE_FMT_FLT, sample_rate_, &from,
                                 static_cast<AVSampleFormat>(frame.format), sample_rate_, 0, nullptr);
  converter_.reset(converter);
  av_channel_layout_uninit(&from);
  av_channel_layout_uninit(&to);
  if (code >= 0) code = swr_init(converter);
  if (code < 0)
    input_.fail("its channels can't be converted (" + ffmpeg_reason(code) + "); convert it first");
  converter_format_ = frame.format;
  converter_channels_ = frame.ch_layout.nb_channels;
}

std::span<const float> SoundDecoder::next() {
  AVFrame* frame = input_.next_frame();
  while (frame && frame->nb_samples == 0) frame = input_.next_frame();
  if (!frame) return {};
  prepare(*frame);
  block_.resize(static_cast<size_t>(frame->nb_samples) * channels_);
  auto* to = reinterpret_cast<uint8_t*>(block_.data());
  const int made = swr_convert(converter_.get(), &to, frame->nb_samples,
                               const_cast<const uint8_t**>(frame->extended_data), frame->nb_samples);
  if (made < 0) throw InternalError("can't convert samples: " + ffmpeg_reason(made));
  block_.resize(static_cast<size_t>(made) * channels_);
  if (!std::all_of(block_.begin(), block_.end(), [](float x) { return std::isfinite(x); })) {
    input_.fail("some of its samples are not numbers; make it anew");
  }
  return block_;
}

}  // namespace latentcast
