#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ffmpeg_handles.h"

namespace latentcast {

/// Opens a file on disk for demuxing. `what` ("sound", "video") goes into the messages of its InputErrors.
InputContext open_media_file(const std::filesystem::path& path, const std::string& what,
                             const AVInputFormat* format = nullptr);

/// Throws InputError if `path` isn't a readable regular file (or pipe).
void require_input_file(const std::filesystem::path& path, const std::string& what);

/// InputError "can't read the <what> <path>: <reason>."
[[noreturn]] void throw_unreadable(const std::filesystem::path& path, const std::string& what,
                                   const std::string& reason);

/// The best stream of one kind of a media file, decoded frame by frame.
class MediaInput {
 public:
  MediaInput(const std::filesystem::path& path, AVMediaType type, const std::string& what);
  /// Reads from memory; `path` is only what messages name. Damaged data is an error instead of being passed
  /// over.
  MediaInput(std::vector<uint8_t> bytes, const std::filesystem::path& path, AVMediaType type,
             const std::string& what);
  MediaInput(const MediaInput&) = delete;
  MediaInput& operator=(const MediaInput&) = delete;

  AVFormatContext& format() { return *context_; }
  AVStream& stream() { return *stream_; }
  const std::filesystem::path& path() const { return path_; }

  /// The stream's next packet, valid until the next call; nullptr at the end.
  AVPacket* next_packet();

  /// The next decoded frame, valid until the next call; nullptr at the end.
  AVFrame* next_frame();

  [[noreturn]] void fail(const std::string& reason) const;

 private:
  struct Memory {
    std::vector<uint8_t> bytes;
    int64_t position = 0;
    static int read(void* self, uint8_t* to, int size);
    static int64_t seek(void* self, int64_t offset, int whence);
  };
  void choose_stream(AVMediaType type);
  void open_decoder();
  void feed_decoder();

  std::filesystem::path path_;
  std::string what_;
  bool strict_ = false;
  Memory memory_;
  IoContext memory_io_;  // outlives context_
  InputContext context_;
  AVStream* stream_ = nullptr;
  CodecContext decoder_;
  Packet packet_ = make_packet();
  Frame frame_ = make_frame();
};

}  // namespace latentcast
