#include "h264_encoder.h"

extern "C" {
#include <libavutil/cpu.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
}

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr std::array<std::string_view, 10> kPresets = {"ultrafast", "superfast", "veryfast", "faster",
                                                       "fast",      "medium",    "slow",     "slower",
                                                       "veryslow",  "placebo"};

/// x264's AVX-512 code reads memory beyond a row of macroblocks and lets it sway the bit rate, so that where
/// widths are no multiple of 128 two runs differ (x264 r3095). Its AVX2 code is as fast here, and gives what
/// AVX gives.
void keep_reproducible(AVCodecContext& encoder) {
  if ((av_get_cpu_flags() & AV_CPU_FLAG_AVX512) != 0) {
    av_opt_set(encoder.priv_data, "x264-params", "asm=AVX2,FMA3,BMI2,LZCNT,SSE2Fast", 0);
  }
}

void require_sense(const VideoSettings& s) {
  if (s.width <= 0 || s.height <= 0 || s.width % 2 != 0 || s.height % 2 != 0) {
    throw InternalError("a video's sides must be even: " + std::to_string(s.width) + "x" +
                        std::to_string(s.height));
  }
  if (s.frames_per_second <= 0 || s.threads <= 0)
    throw InternalError("a video needs a frame rate and threads");
  if (s.crf < 0 || s.crf > 51) throw InputError("crf " + std::to_string(s.crf) + ": give 0 to 51");
  // Not left to x264, which complains on stderr.
  if (std::find(kPresets.begin(), kPresets.end(), s.preset) == kPresets.end()) {
    throw InputError("the video encoder has no preset '" + s.preset + "'; give one of ultrafast to placebo");
  }
}

void set_colours(AVCodecContext& encoder) {
  encoder.color_range = AVCOL_RANGE_MPEG;
  encoder.colorspace = AVCOL_SPC_BT709;
  encoder.color_primaries = AVCOL_PRI_BT709;
  encoder.color_trc = AVCOL_TRC_BT709;
  encoder.chroma_sample_location = AVCHROMA_LOC_LEFT;
}

}  // namespace

H264Encoder::H264Encoder(const VideoSettings& settings) : settings_(settings) {
  silence_ffmpeg();
  require_sense(settings);
  const AVCodec* codec = avcodec_find_encoder_by_name("libx264");
  if (!codec) throw InternalError("this FFmpeg has no libx264; install a build that has it");
  encoder_.reset(avcodec_alloc_context3(codec));
  if (!encoder_) throw InternalError("out of memory for the video encoder");
  encoder_->width = settings.width;
  encoder_->height = settings.height;
  encoder_->pix_fmt = AV_PIX_FMT_YUV420P;
  encoder_->time_base = {1, settings.frames_per_second};
  encoder_->framerate = {settings.frames_per_second, 1};
  encoder_->sample_aspect_ratio = {1, 1};
  encoder_->thread_count = settings.threads;
  encoder_->flags |= AV_CODEC_FLAG_CLOSED_GOP | AV_CODEC_FLAG_BITEXACT;
  set_colours(*encoder_);
  av_opt_set(encoder_->priv_data, "preset", settings.preset.c_str(), 0);
  av_opt_set_double(encoder_->priv_data, "crf", settings.crf, 0);
  keep_reproducible(*encoder_);
  require_ffmpeg(avcodec_open2(encoder_.get(), codec, nullptr), "open the video encoder");
}

void H264Encoder::fill(std::span<const uint8_t> yuv) {
  const int width = settings_.width, height = settings_.height;
  if (yuv.size() != static_cast<size_t>(width) * height * 3 / 2) {
    throw InternalError("a frame of " + std::to_string(yuv.size()) + " bytes for a video of " +
                        std::to_string(width) + "x" + std::to_string(height));
  }
  av_frame_unref(frame_.get());  // the encoder may still hold the one before
  frame_->format = AV_PIX_FMT_YUV420P;
  frame_->width = width;
  frame_->height = height;
  require_ffmpeg(av_frame_get_buffer(frame_.get(), 0), "get memory for a frame");
  const uint8_t* planes[4] = {};
  int strides[4] = {};
  const int used = av_image_fill_arrays(const_cast<uint8_t**>(planes), strides, yuv.data(),
                                        AV_PIX_FMT_YUV420P, width, height, /*align=*/1);
  require_ffmpeg(used, "lay out a frame");
  av_image_copy(frame_->data, frame_->linesize, planes, strides, AV_PIX_FMT_YUV420P, width, height);
}

void H264Encoder::send(std::span<const uint8_t> yuv) {
  fill(yuv);
  frame_->pts = sent_++;
  require_ffmpeg(avcodec_send_frame(encoder_.get(), frame_.get()), "encode a frame");
}

void H264Encoder::finish() {
  require_ffmpeg(avcodec_send_frame(encoder_.get(), nullptr), "finish the video");
}

AVPacket* H264Encoder::receive() {
  const int code = avcodec_receive_packet(encoder_.get(), packet_.get());
  if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return nullptr;
  require_ffmpeg(code, "encode a frame");
  return packet_.get();
}

}  // namespace latentcast
