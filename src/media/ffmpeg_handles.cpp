#include "ffmpeg_handles.h"

#include "latentcast/error.h"

namespace latentcast {

Frame make_frame() {
  Frame frame(av_frame_alloc());
  if (!frame) throw InternalError("out of memory for a frame");
  return frame;
}

Packet make_packet() {
  Packet packet(av_packet_alloc());
  if (!packet) throw InternalError("out of memory for a packet");
  return packet;
}

std::string ffmpeg_reason(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof(text));
  return text;
}

void require_ffmpeg(int code, const std::string& what) {
  if (code < 0) throw InternalError("can't " + what + ": " + ffmpeg_reason(code));
}

void silence_ffmpeg() { av_log_set_level(AV_LOG_QUIET); }

}  // namespace latentcast
