#include "aac_encoder.h"

#include <algorithm>

#include "adts.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr int kStereoBits = 192000;
constexpr int kMonoBits = 128000;
constexpr int kMostBitsPerFrame = 6144;  // AAC's limit, a channel

int bit_rate(int sample_rate, int channels) {
  const int most = static_cast<int>(int64_t{kMostBitsPerFrame} * sample_rate * channels / kAacFrame);
  return std::min(channels > 1 ? kStereoBits : kMonoBits, most);
}

}  // namespace

AacEncoder::AacEncoder(int sample_rate, int channels, OutputFile& out) : out_(out) {
  silence_ffmpeg();
  const AVCodec* codec = avcodec_find_encoder_by_name("aac");
  if (!codec) throw InternalError("this FFmpeg has no AAC encoder");
  encoder_.reset(avcodec_alloc_context3(codec));
  if (!encoder_) throw InternalError("out of memory for the AAC encoder");
  encoder_->sample_fmt = AV_SAMPLE_FMT_FLTP;
  encoder_->sample_rate = sample_rate;
  encoder_->time_base = {1, sample_rate};
  encoder_->bit_rate = bit_rate(sample_rate, channels);
  encoder_->thread_count = 1;
  encoder_->flags |= AV_CODEC_FLAG_BITEXACT;
  av_channel_layout_default(&encoder_->ch_layout, channels);
  require_ffmpeg(avcodec_open2(encoder_.get(), codec, nullptr), "open the AAC encoder");
  if (encoder_->frame_size != kAacFrame || encoder_->initial_padding != kAacFrame) {
    throw InternalError("this FFmpeg's AAC encoder works in other frames than were expected");
  }
}

void AacEncoder::write(std::span<const float> interleaved) {
  const int channels = encoder_->ch_layout.nb_channels;
  const int samples = static_cast<int>(interleaved.size()) / channels;
  av_frame_unref(frame_.get());
  frame_->format = AV_SAMPLE_FMT_FLTP;
  frame_->sample_rate = encoder_->sample_rate;
  frame_->nb_samples = samples;
  frame_->pts = position_;
  av_channel_layout_copy(&frame_->ch_layout, &encoder_->ch_layout);
  require_ffmpeg(av_frame_get_buffer(frame_.get(), 0), "get memory for sound");
  for (int c = 0; c < channels; ++c) {
    auto* plane = reinterpret_cast<float*>(frame_->extended_data[c]);
    for (int i = 0; i < samples; ++i) plane[i] = interleaved[i * channels + c];
  }
  position_ += samples;
  encode(frame_.get());
}

void AacEncoder::finish() { encode(nullptr); }

void AacEncoder::encode(const AVFrame* frame) {
  require_ffmpeg(avcodec_send_frame(encoder_.get(), frame), "encode sound");
  for (;;) {
    const int code = avcodec_receive_packet(encoder_.get(), packet_.get());
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return;
    require_ffmpeg(code, "encode sound");
    const auto header = make_adts(encoder_->sample_rate, encoder_->ch_layout.nb_channels, packet_->size);
    out_.write(header);
    out_.write({packet_->data, static_cast<size_t>(packet_->size)});
    av_packet_unref(packet_.get());
  }
}

}  // namespace latentcast
