#include "media_input.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr int kIoBuffer = 1 << 16;
constexpr int kLargestSide = 16384;

/// Streams that FFmpeg makes of plain text or of nothing: never what a user meant by a picture.
bool is_text(AVCodecID codec) {
  return codec == AV_CODEC_ID_ANSI || codec == AV_CODEC_ID_BINTEXT || codec == AV_CODEC_ID_XBIN ||
         codec == AV_CODEC_ID_IDF;
}

std::string kind_of(AVMediaType type) { return type == AVMEDIA_TYPE_AUDIO ? "sound" : "picture"; }

}  // namespace

void throw_unreadable(const std::filesystem::path& path, const std::string& what, const std::string& reason) {
  throw InputError("can't read the " + what + " '" + path.string() + "': " + reason);
}

void require_input_file(const std::filesystem::path& path, const std::string& what) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    throw_unreadable(path, what, "no such file; check the name");
  }
  if (error) throw_unreadable(path, what, error.message());
  if (std::filesystem::is_directory(status)) throw_unreadable(path, what, "it is a folder; name a file");
}

InputContext open_media_file(const std::filesystem::path& path, const std::string& what,
                             const AVInputFormat* format) {
  silence_ffmpeg();
  require_input_file(path, what);
  // "file:" keeps a name with a colon from being taken for a protocol; the white list keeps play lists from
  // the net.
  AVDictionary* options = nullptr;
  av_dict_set(&options, "protocol_whitelist", "file", 0);
  AVFormatContext* opened = nullptr;
  int code = avformat_open_input(&opened, ("file:" + path.string()).c_str(), format, &options);
  av_dict_free(&options);
  if (code < 0)
    throw_unreadable(path, what, ffmpeg_reason(code) + "; give a " + what + " that ffmpeg can play");
  InputContext context(opened);
  code = avformat_find_stream_info(context.get(), nullptr);
  if (code < 0) throw_unreadable(path, what, ffmpeg_reason(code));
  return context;
}

int MediaInput::Memory::read(void* self, uint8_t* to, int size) {
  auto& memory = *static_cast<Memory*>(self);
  const int64_t left = static_cast<int64_t>(memory.bytes.size()) - memory.position;
  if (left <= 0) return AVERROR_EOF;
  const int taken = static_cast<int>(std::min<int64_t>(left, size));
  std::memcpy(to, memory.bytes.data() + memory.position, taken);
  memory.position += taken;
  return taken;
}

int64_t MediaInput::Memory::seek(void* self, int64_t offset, int whence) {
  auto& memory = *static_cast<Memory*>(self);
  const auto size = static_cast<int64_t>(memory.bytes.size());
  if (whence == AVSEEK_SIZE) return size;
  whence &= ~AVSEEK_FORCE;
  const int64_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? memory.position : size;
  if (from + offset < 0 || from + offset > size) return AVERROR(EINVAL);
  return memory.position = from + offset;
}

MediaInput::MediaInput(const std::filesystem::path& path, AVMediaType type, const std::string& what)
    : path_(path), what_(what), context_(open_media_file(path, what)) {
  choose_stream(type);
}

MediaInput::MediaInput(std::vector<uint8_t> bytes, const std::filesystem::path& path, AVMediaType type,
                       const std::string& what)
    : path_(path), what_(what), strict_(true), memory_{std::move(bytes)} {
  silence_ffmpeg();
  auto* buffer = static_cast<unsigned char*>(av_malloc(kIoBuffer));
  memory_io_.reset(avio_alloc_context(buffer, kIoBuffer, 0, &memory_, &Memory::read, nullptr, &Memory::seek));
  AVFormatContext* context = avformat_alloc_context();
  if (!buffer || !memory_io_ || !context) throw InternalError("out of memory for reading " + path.string());
  context->pb = memory_io_.get();
  context->flags |= AVFMT_FLAG_CUSTOM_IO;
  int code = avformat_open_input(&context, path.filename().c_str(), nullptr, nullptr);  // frees it on failure
  if (code < 0) fail(ffmpeg_reason(code) + "; give a " + what_ + " that ffmpeg can read");
  context_.reset(context);
  code = avformat_find_stream_info(context, nullptr);
  if (code < 0) fail(ffmpeg_reason(code));
  choose_stream(type);
}

void MediaInput::fail(const std::string& reason) const { throw_unreadable(path_, what_, reason); }

void MediaInput::choose_stream(AVMediaType type) {
  const int index = av_find_best_stream(context_.get(), type, -1, -1, nullptr, 0);
  if (index == AVERROR_DECODER_NOT_FOUND) fail("FFmpeg has no decoder for it; convert it first");
  if (index < 0) fail("there is no " + kind_of(type) + " in it; give another file");
  stream_ = context_->streams[index];
  const AVCodecParameters& parameters = *stream_->codecpar;
  if (is_text(parameters.codec_id)) fail("it is a text; give a " + what_);
  if (parameters.width > kLargestSide || parameters.height > kLargestSide) {
    fail("it is " + std::to_string(parameters.width) + "x" + std::to_string(parameters.height) +
         ", more than 16384 pixels on a side; make it smaller");
  }
  for (unsigned i = 0; i < context_->nb_streams; ++i) {
    if (static_cast<int>(i) != index) context_->streams[i]->discard = AVDISCARD_ALL;
  }
}

void MediaInput::open_decoder() {
  const AVCodec* codec = avcodec_find_decoder(stream_->codecpar->codec_id);
  if (!codec) fail("FFmpeg has no decoder for it; convert it first");
  decoder_.reset(avcodec_alloc_context3(codec));
  if (!decoder_) throw InternalError("out of memory for a decoder");
  require_ffmpeg(avcodec_parameters_to_context(decoder_.get(), stream_->codecpar), "set a decoder up");
  decoder_->pkt_timebase = stream_->time_base;
  decoder_->thread_count = 1;
  decoder_->max_pixels = int64_t{kLargestSide} * kLargestSide;
  // Other decoders give up by themselves; TIFF's would even do so at a tag it doesn't know.
  const bool may_patch = codec->id == AV_CODEC_ID_PNG || codec->id == AV_CODEC_ID_APNG;
  if (strict_ && may_patch) decoder_->err_recognition = AV_EF_CRCCHECK | AV_EF_EXPLODE;
  const int code = avcodec_open2(decoder_.get(), codec, nullptr);
  if (code < 0) fail(ffmpeg_reason(code));
}

AVPacket* MediaInput::next_packet() {
  for (;;) {
    av_packet_unref(packet_.get());
    const int code = av_read_frame(context_.get(), packet_.get());
    if (code == AVERROR_EOF) return nullptr;
    if (code < 0)
      fail(ffmpeg_reason(code) + "; the file is damaged, cut short or no " + what_ + "; give another");
    if (packet_->stream_index == stream_->index) return packet_.get();
  }
}

/// Sound and video may have a few damaged packets (tags between frames, cut beginnings); players pass over
/// them too.
void MediaInput::feed_decoder() {
  const int code = avcodec_send_packet(decoder_.get(), next_packet());
  if (code >= 0 || (code == AVERROR_INVALIDDATA && !strict_)) return;
  fail(ffmpeg_reason(code) + "; the file is damaged, cut short or no " + what_ + "; give another");
}

AVFrame* MediaInput::next_frame() {
  if (!decoder_) open_decoder();
  for (;;) {
    const int code = avcodec_receive_frame(decoder_.get(), frame_.get());
    if (code >= 0) {
      const bool damaged = frame_->decode_error_flags != 0 || (frame_->flags & AV_FRAME_FLAG_CORRUPT) != 0;
      if (strict_ && damaged) fail("it is damaged or cut short; get the whole file");
      return frame_.get();
    }
    if (code == AVERROR_EOF) return nullptr;
    if (code == AVERROR(EAGAIN)) {
      feed_decoder();
    } else if (code != AVERROR_INVALIDDATA || strict_) {
      fail(ffmpeg_reason(code) + "; the file is damaged, cut short or no " + what_ + "; give another");
    }
  }
}

}  // namespace latentcast
