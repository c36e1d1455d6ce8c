#include "jpeg_picture.h"

#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <string>

// After <cstdio>, which it needs and doesn't include.
#include "media_input.h"
#include <jerror.h>
#include <jpeglib.h>

namespace latentcast {
namespace {

constexpr JDIMENSION kLargestSide = 16384;

/// libjpeg's state. It reports errors by jumping, so its calls are made inside guard(), in functions that own
/// nothing that the jump would skip destroying.
class JpegDecoder {
 public:
  JpegDecoder() {
    info_.err = jpeg_std_error(&errors_);
    info_.client_data = this;
    errors_.error_exit = [](j_common_ptr info) { self(info).jump(info); };
    errors_.emit_message = [](j_common_ptr info, int) {
      // libjpeg would go on with grey where the file has ended.
      if (info->err->msg_code == JWRN_JPEG_EOF) self(info).jump(info);
    };
    errors_.output_message = [](j_common_ptr) {};
    jpeg_create_decompress(&info_);
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  jpeg_decompress_struct& info() { return info_; }
  const char* reason() const { return reason_; }

  /// False if libjpeg gave up; then reason() says why.
  template <typename Steps>
  bool guard(const Steps& steps) {
    if (setjmp(return_point_) != 0) return false;
    steps(info_);
    return true;
  }

 private:
  static JpegDecoder& self(j_common_ptr info) { return *static_cast<JpegDecoder*>(info->client_data); }
  [[noreturn]] void jump(j_common_ptr info) {
    errors_.format_message(info, reason_);
    std::longjmp(return_point_, 1);
  }

  jpeg_decompress_struct info_ = {};
  jpeg_error_mgr errors_ = {};
  std::jmp_buf return_point_ = {};
  char reason_[JMSG_LENGTH_MAX] = {};
};

bool is_cmyk(const jpeg_decompress_struct& info) {
  return info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
}

}  // namespace

Picture decode_jpeg(std::span<const uint8_t> file, const std::filesystem::path& path) {
  JpegDecoder decoder;
  const auto require = [&](bool ok) {
    if (!ok)
      throw_unreadable(path, "picture",
                       std::string(decoder.reason()) + "; it is damaged or cut short; get the whole file");
  };
  require(decoder.guard([&](jpeg_decompress_struct& info) {
    jpeg_mem_src(&info, file.data(), file.size());
    jpeg_read_header(&info, TRUE);
  }));
  jpeg_decompress_struct& info = decoder.info();
  if (is_cmyk(info)) throw_unreadable(path, "picture", "it is in CMYK colours; convert it to RGB");
  if (info.image_width > kLargestSide || info.image_height > kLargestSide) {
    throw_unreadable(path, "picture", "more than 16384 pixels on a side; make it smaller");
  }
  Picture picture{static_cast<int>(info.image_width), static_cast<int>(info.image_height), {}};
  const size_t line = size_t{info.image_width} * 3;
  picture.rgb.resize(line * info.image_height);
  uint8_t* pixels = picture.rgb.data();
  require(decoder.guard([pixels, line](jpeg_decompress_struct& info) {
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = pixels + info.output_scanline * line;
      jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
  }));
  return picture;
}

}  // namespace latentcast
