#include "frame_to_rgb.h"

extern "C" {
#include <libavutil/pixdesc.h>
}

#include <algorithm>
#include <cstddef>
#include <vector>

#include "media_input.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

bool is_lossless(const AVPixFmtDescriptor& format) {
  constexpr uint64_t kOdd = AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_BAYER | AV_PIX_FMT_FLAG_FLOAT;
  if ((format.flags & kOdd) != 0) return false;
  return (format.flags & AV_PIX_FMT_FLAG_RGB) != 0 || format.nb_components < 3;
}

uint8_t to_eight_bits(unsigned value, int depth) {
  if (depth >= 8) return static_cast<uint8_t>(value >> (depth - 8));
  const unsigned most = (1U << depth) - 1;
  return static_cast<uint8_t>((value * 255 + most / 2) / most);
}

void copy_components(const AVFrame& frame, const AVPixFmtDescriptor& format, Picture& picture) {
  const bool grey = format.nb_components < 3;
  const bool white_is_zero = frame.format == AV_PIX_FMT_MONOWHITE;
  std::vector<uint16_t> line(static_cast<size_t>(picture.width));
  uint8_t* to = picture.rgb.data();
  for (int y = 0; y < picture.height; ++y, to += static_cast<size_t>(picture.width) * 3) {
    for (int c = 0; c < 3; ++c) {
      const int component = grey ? 0 : c;
      const int depth = format.comp[component].depth;
      if (component == c) {
        av_read_image_line2(line.data(), const_cast<const uint8_t**>(frame.data), frame.linesize, &format, 0,
                            y, component, picture.width, /*read_pal_component=*/0, sizeof(uint16_t));
      }
      for (int x = 0; x < picture.width; ++x) {
        const uint8_t value = to_eight_bits(line[x], depth);
        to[x * 3 + c] = white_is_zero ? 255 - value : value;
      }
    }
  }
}

void copy_palette(const AVFrame& frame, Picture& picture) {
  const auto* colours =
      reinterpret_cast<const uint32_t*>(frame.data[1]);  // alpha, red, green, blue from the top
  uint8_t* to = picture.rgb.data();
  for (int y = 0; y < picture.height; ++y) {
    const uint8_t* line = frame.data[0] + static_cast<ptrdiff_t>(y) * frame.linesize[0];
    for (int x = 0; x < picture.width; ++x) {
      const uint32_t colour = colours[line[x]];
      for (int shift = 16; shift >= 0; shift -= 8) *to++ = static_cast<uint8_t>(colour >> shift);
    }
  }
}

bool is_full_range(const AVFrame& frame) {
  switch (frame.format) {
    case AV_PIX_FMT_YUVJ420P:
    case AV_PIX_FMT_YUVJ422P:
    case AV_PIX_FMT_YUVJ444P:
    case AV_PIX_FMT_YUVJ440P:
    case AV_PIX_FMT_YUVJ411P:
      return true;
    default:
      return frame.color_range == AVCOL_RANGE_JPEG;
  }
}

}  // namespace

void RgbConverter::prepare(const AVFrame& frame) {
  if (scaler_ && frame.width == width_ && frame.height == height_ && frame.format == format_) return;
  width_ = frame.width;
  height_ = frame.height;
  format_ = frame.format;
  scaler_.reset(sws_getContext(width_, height_, static_cast<AVPixelFormat>(format_), width_, height_,
                               AV_PIX_FMT_RGB24, scale_flags_, nullptr, nullptr, nullptr));
  if (!scaler_) throw_unreadable(path_, "picture", "its pixel format can't be converted; convert it first");
  // swscale's table numbers are those of AVColorSpace; "unspecified" gives BT.601.
  const int* matrix = sws_getCoefficients(frame.colorspace);
  sws_setColorspaceDetails(scaler_.get(), matrix, is_full_range(frame), sws_getCoefficients(SWS_CS_DEFAULT),
                           1, 0, 1 << 16, 1 << 16);
}

Picture RgbConverter::convert(const AVFrame& frame) {
  const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
  if (!format || frame.width <= 0 || frame.height <= 0)
    throw_unreadable(path_, "picture", "it has no pixels");
  Picture picture{frame.width, frame.height, {}};
  picture.rgb.resize(static_cast<size_t>(frame.width) * frame.height * 3);
  if ((format->flags & AV_PIX_FMT_FLAG_PAL) != 0) {
    copy_palette(frame, picture);
    return picture;
  }
  if (is_lossless(*format)) {
    copy_components(frame, *format, picture);
    return picture;
  }
  prepare(frame);
  // swscale may write a few bytes more than a line's pixels, so it gets lines of its own.
  const int stride = FFALIGN(frame.width * 3, 64) + 64;
  std::vector<uint8_t> lines(static_cast<size_t>(stride) * frame.height);
  uint8_t* planes[4] = {lines.data()};
  const int strides[4] = {stride};
  const int made = sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height, planes, strides);
  if (made != frame.height) throw InternalError("can't convert a frame of '" + path_.string() + "' to RGB");
  for (int y = 0; y < frame.height; ++y) {
    std::copy_n(lines.data() + static_cast<size_t>(y) * stride, picture.width * 3,
                picture.rgb.data() + static_cast<size_t>(y) * picture.width * 3);
  }
  return picture;
}

}  // namespace latentcast
