#include "latentcast/media/video_writer.h"

#include <utility>

#include "adts.h"
#include "h264_encoder.h"
#include "output_file.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

/// How long a player may collect before it shows; MPEG-TS adds it twice to every timestamp.
constexpr int kMuxDelayMicroseconds = 700000;

OutputContext make_transport_stream(OutputFile& file) {
  AVFormatContext* context = nullptr;
  require_ffmpeg(avformat_alloc_output_context2(&context, nullptr, "mpegts", nullptr), "write MPEG-TS");
  context->pb = file.io();
  context->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
  context->flush_packets = 0;
  context->max_delay = kMuxDelayMicroseconds;
  context->avoid_negative_ts = AVFMT_AVOID_NEG_TS_DISABLED;  // a shift would be another one in every segment
  return OutputContext(context);
}

AVStream& add_stream(AVFormatContext& context) {
  AVStream* stream = avformat_new_stream(&context, nullptr);
  if (!stream) throw InternalError("out of memory for a stream");
  return *stream;
}

void describe_sound(AVCodecParameters& parameters, const SoundTrackReader& sound) {
  parameters.codec_type = AVMEDIA_TYPE_AUDIO;
  parameters.codec_id = AV_CODEC_ID_AAC;
  parameters.sample_rate = sound.sample_rate();
  parameters.frame_size = kAacFrame;
  av_channel_layout_default(&parameters.ch_layout, sound.channels());
}

}  // namespace

class SegmentWriter::Impl {
 public:
  Impl(const std::filesystem::path& path, const VideoSettings& settings, int64_t first_frame,
       SoundTrackReader* sound)
      : encoder_(settings),
        frame_time_{1, settings.frames_per_second},
        first_frame_(first_frame),
        sound_(sound),
        file_(path),
        muxer_(make_transport_stream(file_)) {
    video_ = &add_stream(*muxer_);
    video_->avg_frame_rate = av_inv_q(frame_time_);
    require_ffmpeg(avcodec_parameters_from_context(video_->codecpar, &encoder_.context()),
                   "describe the video");
    if (sound_) {
      audio_ = &add_stream(*muxer_);
      describe_sound(*audio_->codecpar, *sound_);
      sound_->seek_to_frame(first_frame, settings.frames_per_second);
    }
    // Every segment is a stream of its own whose counters start anew; this tells players that it isn't a
    // loss.
    AVDictionary* options = nullptr;
    av_dict_set(&options, "mpegts_flags", "initial_discontinuity", 0);
    const int code = avformat_write_header(muxer_.get(), &options);
    av_dict_free(&options);
    file_.check(code);
  }

  void write(std::span<const uint8_t> yuv) {
    require_open();
    encoder_.send(yuv);
    ++frames_;
    write_packets();
  }

  int64_t close(const std::function<void()>& before_naming) {
    require_open();
    if (frames_ == 0) throw InternalError("a video segment without frames: " + file_.path().string());
    closed_ = true;
    encoder_.finish();
    write_packets();
    write_sound_before(first_frame_ + frames_);
    file_.check(av_write_trailer(muxer_.get()));
    file_.commit(before_naming);
    return frames_;
  }

 private:
  void require_open() const {
    if (closed_) throw InternalError("the segment is closed already: " + file_.path().string());
  }

  void write_packets() {
    while (AVPacket* packet = encoder_.receive()) {
      packet->pts += first_frame_;
      packet->dts += first_frame_;
      // Sound is laid down just ahead of the picture it belongs to, so nothing needs to be kept waiting.
      write_sound_before(packet->dts);
      packet->stream_index = video_->index;
      packet->duration = 1;
      av_packet_rescale_ts(packet, frame_time_, video_->time_base);
      file_.check(av_write_frame(muxer_.get(), packet));
    }
  }

  void write_sound_before(int64_t frame) {
    if (!sound_) return;
    const AVRational sample_time{1, sound_->sample_rate()};
    while (av_compare_ts(sound_->position(), sample_time, frame, frame_time_) < 0) {
      std::optional<SoundPacket> sound = sound_->next();
      if (!sound) return;
      packet_->data = sound->data.data();
      packet_->size = static_cast<int>(sound->data.size());
      packet_->pts = packet_->dts = sound->start_sample;
      packet_->duration = kAacFrame;
      packet_->stream_index = audio_->index;
      packet_->flags = AV_PKT_FLAG_KEY;
      av_packet_rescale_ts(packet_.get(), sample_time, audio_->time_base);
      const int code = av_write_frame(muxer_.get(), packet_.get());
      av_packet_unref(packet_.get());
      file_.check(code);
    }
  }

  H264Encoder encoder_;
  AVRational frame_time_;
  int64_t first_frame_;
  SoundTrackReader* sound_;
  OutputFile file_;
  OutputContext muxer_;
  AVStream* video_ = nullptr;
  AVStream* audio_ = nullptr;
  Packet packet_ = make_packet();
  int64_t frames_ = 0;
  bool closed_ = false;
};

SegmentWriter::SegmentWriter(const std::filesystem::path& path, const VideoSettings& settings,
                             int64_t first_frame, SoundTrackReader* sound)
    : impl_(std::make_unique<Impl>(path, settings, first_frame, sound)) {}
SegmentWriter::~SegmentWriter() = default;
SegmentWriter::SegmentWriter(SegmentWriter&&) noexcept = default;
SegmentWriter& SegmentWriter::operator=(SegmentWriter&&) noexcept = default;

void SegmentWriter::write(std::span<const uint8_t> yuv) { impl_->write(yuv); }

int64_t SegmentWriter::close(const std::function<void()>& before_naming) {
  return impl_->close(before_naming);
}

}  // namespace latentcast
