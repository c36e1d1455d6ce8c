#include "mp4_writer.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "latentcast/error.h"

namespace latentcast {
namespace {

OutputContext make_mp4(OutputFile& file) {
  AVFormatContext* context = nullptr;
  // The name matters: to bring the index to the front, the muxer reads back what it wrote.
  const std::string name = "file:" + file.part_path().string();
  require_ffmpeg(avformat_alloc_output_context2(&context, nullptr, "mp4", name.c_str()), "write MP4");
  context->pb = file.io();
  context->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
  context->flush_packets = 0;
  return OutputContext(context);
}

AVStream& add_stream(AVFormatContext& context) {
  AVStream* stream = avformat_new_stream(&context, nullptr);
  if (!stream) throw InternalError("out of memory for a stream");
  return *stream;
}

void describe_sound(AVCodecParameters& parameters, const AdtsHeader& sound) {
  parameters.codec_type = AVMEDIA_TYPE_AUDIO;
  parameters.codec_id = AV_CODEC_ID_AAC;
  parameters.sample_rate = sound.sample_rate;
  parameters.frame_size = kAacFrame;
  av_channel_layout_default(&parameters.ch_layout, sound.channels);
  const auto config = aac_config(sound);
  parameters.extradata = static_cast<uint8_t*>(av_mallocz(config.size() + AV_INPUT_BUFFER_PADDING_SIZE));
  if (!parameters.extradata) throw InternalError("out of memory for a stream");
  parameters.extradata_size = static_cast<int>(config.size());
  std::copy(config.begin(), config.end(), parameters.extradata);
}

}  // namespace

Mp4Writer::Mp4Writer(const std::filesystem::path& path, const AVCodecParameters& video, AVRational frame_rate,
                     const std::optional<AdtsHeader>& sound)
    : file_(path), muxer_(make_mp4(file_)), frame_time_(av_inv_q(frame_rate)) {
  video_ = &add_stream(*muxer_);
  require_ffmpeg(avcodec_parameters_copy(video_->codecpar, &video), "describe the video");
  video_->codecpar->codec_tag = 0;
  video_->time_base = frame_time_;
  video_->avg_frame_rate = frame_rate;
  if (sound) {
    audio_ = &add_stream(*muxer_);
    describe_sound(*audio_->codecpar, *sound);
    sample_time_ = {1, sound->sample_rate};
    audio_->time_base = sample_time_;
  }
  AVDictionary* options = nullptr;
  av_dict_set(&options, "movflags", "+faststart", 0);
  const int code = avformat_write_header(muxer_.get(), &options);
  av_dict_free(&options);
  file_.check(code);
}

void Mp4Writer::write_video(AVPacket& packet, int64_t pts, int64_t dts) {
  packet.pts = pts;
  packet.dts = dts;
  packet.duration = 1;
  packet.pos = -1;
  packet.stream_index = video_->index;
  av_packet_rescale_ts(&packet, frame_time_, video_->time_base);
  file_.check(av_write_frame(muxer_.get(), &packet));
}

void Mp4Writer::write_sound(AVPacket& packet, int64_t pts, int64_t duration) {
  packet.pts = packet.dts = pts;
  packet.duration = duration;
  packet.pos = -1;
  packet.stream_index = audio_->index;
  av_packet_rescale_ts(&packet, sample_time_, audio_->time_base);
  file_.check(av_write_frame(muxer_.get(), &packet));
}

void Mp4Writer::close() {
  file_.check(av_write_trailer(muxer_.get()));
  file_.commit();
}

}  // namespace latentcast
