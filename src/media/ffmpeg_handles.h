#pragma once

// FFmpeg's objects as owners. Private to media/: no header of another module sees these types.

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/frame.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>
}

#include <memory>
#include <string>

namespace latentcast {

struct InputContextDeleter {
  void operator()(AVFormatContext* context) const { avformat_close_input(&context); }
};
/// Its AVIOContext belongs to somebody else (OutputFile).
struct OutputContextDeleter {
  void operator()(AVFormatContext* context) const { avformat_free_context(context); }
};
struct CodecContextDeleter {
  void operator()(AVCodecContext* context) const { avcodec_free_context(&context); }
};
struct FrameDeleter {
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};
struct PacketDeleter {
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};
struct SwsDeleter {
  void operator()(SwsContext* context) const { sws_freeContext(context); }
};
struct SwrDeleter {
  void operator()(SwrContext* context) const { swr_free(&context); }
};
struct IoContextDeleter {
  void operator()(AVIOContext* context) const {
    av_freep(&context->buffer);
    avio_context_free(&context);
  }
};

using InputContext = std::unique_ptr<AVFormatContext, InputContextDeleter>;
using OutputContext = std::unique_ptr<AVFormatContext, OutputContextDeleter>;
using CodecContext = std::unique_ptr<AVCodecContext, CodecContextDeleter>;
using Frame = std::unique_ptr<AVFrame, FrameDeleter>;
using Packet = std::unique_ptr<AVPacket, PacketDeleter>;
using Scaler = std::unique_ptr<SwsContext, SwsDeleter>;
using SampleConverter = std::unique_ptr<SwrContext, SwrDeleter>;
using IoContext = std::unique_ptr<AVIOContext, IoContextDeleter>;

Frame make_frame();
Packet make_packet();

/// FFmpeg's words for an error code.
std::string ffmpeg_reason(int code);

/// Throws InternalError "can't <what>: <reason>" if `code` is an error.
void require_ffmpeg(int code, const std::string& what);

/// FFmpeg prints on stderr by default; a library must not. Called before anything is opened.
void silence_ffmpeg();

}  // namespace latentcast
