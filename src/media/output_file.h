#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "ffmpeg_handles.h"

namespace latentcast {

/// A file that appears under its name only when it is complete and on disk: written as `path`.part, which is
/// removed unless commit() was reached.
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const std::filesystem::path& part_path() const { return part_path_; }

  void write(std::span<const uint8_t> bytes);

  /// What libavformat writes through. Its errors show up in check(), where they keep their reason.
  AVIOContext* io();

  /// Throws OutputError if a write through io() failed, InternalError if `code` is another error of
  /// libavformat's.
  void check(int code);

  /// Everything written so far becomes durable and gets its name; `before_naming` is called in between.
  void commit(const std::function<void()>& before_naming = {});

 private:
  static int write_callback(void* self, uint8_t* bytes, int size);
  static int64_t seek_callback(void* self, int64_t offset, int whence);
  int write_all(const uint8_t* bytes, size_t size);  // 0 or an errno
  void sync_folder() const;
  [[noreturn]] void fail(int error) const;

  std::filesystem::path path_;
  std::filesystem::path part_path_;
  int descriptor_ = -1;
  int error_ = 0;
  bool committed_ = false;
  IoContext io_;
};

}  // namespace latentcast
