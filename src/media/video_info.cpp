#include "latentcast/media/video_info.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "media_input.h"

namespace latentcast {
namespace {

/// From the first packet's begin to the last one's end, in the stream's ticks.
struct Extent {
  int64_t begin = std::numeric_limits<int64_t>::max();
  int64_t end = std::numeric_limits<int64_t>::min();
  double skipped_seconds = 0;
  int64_t packets = 0;

  void add(const AVPacket& packet) {
    ++packets;
    if (packet.pts == AV_NOPTS_VALUE) return;
    begin = std::min(begin, packet.pts);
    end = std::max(end, packet.pts + packet.duration);
  }
  double seconds(const AVStream& stream) const {
    if (end <= begin) return 0;
    return static_cast<double>(end - begin) * av_q2d(stream.time_base) - skipped_seconds;
  }
};

/// Samples in front of the sound that players leave out (MP4's edit list).
double skipped_seconds(const AVPacket& packet, int sample_rate) {
  size_t size = 0;
  const uint8_t* data = av_packet_get_side_data(&packet, AV_PKT_DATA_SKIP_SAMPLES, &size);
  uint32_t samples = 0;
  if (data && size >= 4) std::memcpy(&samples, data, 4);
  return sample_rate > 0 ? static_cast<double>(samples) / sample_rate : 0;
}

}  // namespace

VideoInfo probe_video(const std::filesystem::path& path) {
  const InputContext context = open_media_file(path, "video");
  const int video = av_find_best_stream(context.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  const int audio = av_find_best_stream(context.get(), AVMEDIA_TYPE_AUDIO, -1, -1, nullptr, 0);
  if (video < 0) throw_unreadable(path, "video", "there is no picture in it; give another file");
  Extent picture;
  Extent sound;
  const Packet packet = make_packet();
  for (;;) {
    const int code = av_read_frame(context.get(), packet.get());
    if (code == AVERROR_EOF) break;
    if (code < 0)
      throw_unreadable(path, "video",
                       ffmpeg_reason(code) + "; it is damaged or cut short; get the whole file");
    if (packet->stream_index == video) picture.add(*packet);
    if (packet->stream_index == audio) {
      sound.add(*packet);
      sound.skipped_seconds += skipped_seconds(*packet, context->streams[audio]->codecpar->sample_rate);
    }
    av_packet_unref(packet.get());
  }
  const AVStream& stream = *context->streams[video];
  VideoInfo info;
  info.width = stream.codecpar->width;
  info.height = stream.codecpar->height;
  const AVRational rate = stream.avg_frame_rate.num > 0 ? stream.avg_frame_rate : stream.r_frame_rate;
  info.fps = rate.den > 0 ? av_q2d(rate) : 0;
  info.frames = picture.packets;
  info.video_seconds = picture.seconds(stream);
  if (audio >= 0) info.sound_seconds = sound.seconds(*context->streams[audio]);
  return info;
}

}  // namespace latentcast
