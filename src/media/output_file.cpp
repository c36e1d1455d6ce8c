#include "output_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

constexpr int kIoBuffer = 1 << 16;

std::string advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space and run again";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; name another place or change its rights";
    case ENOENT:
    case ENOTDIR:
      return "; make its folder first or name another place";
    default:
      return "; name another place";
  }
}

}  // namespace

OutputFile::OutputFile(const std::filesystem::path& path) : path_(path), part_path_(path.string() + ".part") {
  descriptor_ = ::open(part_path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(errno);
}

OutputFile::~OutputFile() {
  io_.reset();
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!committed_) ::unlink(part_path_.c_str());
}

void OutputFile::fail(int error) const {
  throw OutputError("can't write '" + path_.string() + "': " + std::strerror(error) + advice(error));
}

int OutputFile::write_all(const uint8_t* bytes, size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(descriptor_, bytes, size);
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    bytes += written;
    size -= static_cast<size_t>(written);
  }
  return 0;
}

void OutputFile::write(std::span<const uint8_t> bytes) {
  if (const int error = write_all(bytes.data(), bytes.size())) fail(error);
}

int OutputFile::write_callback(void* self, uint8_t* bytes, int size) {
  auto& file = *static_cast<OutputFile*>(self);
  if (file.error_ == 0) file.error_ = file.write_all(bytes, static_cast<size_t>(size));
  return file.error_ == 0 ? size : AVERROR(file.error_);
}

int64_t OutputFile::seek_callback(void* self, int64_t offset, int whence) {
  auto& file = *static_cast<OutputFile*>(self);
  if (whence == AVSEEK_SIZE) return AVERROR(ENOSYS);
  const off_t position = ::lseek(file.descriptor_, offset, whence & ~AVSEEK_FORCE);
  return position < 0 ? AVERROR(errno) : position;
}

AVIOContext* OutputFile::io() {
  if (!io_) {
    auto* buffer = static_cast<unsigned char*>(av_malloc(kIoBuffer));
    io_.reset(avio_alloc_context(buffer, kIoBuffer, 1, this, nullptr, &write_callback, &seek_callback));
    if (!buffer || !io_) throw InternalError("out of memory for writing " + path_.string());
  }
  return io_.get();
}

void OutputFile::check(int code) {
  if (error_ != 0) fail(error_);
  require_ffmpeg(code, "write '" + path_.string() + "'");
}

void OutputFile::commit(const std::function<void()>& before_naming) {
  if (io_) {
    avio_flush(io_.get());
    check(io_->error);
  }
  if (::fsync(descriptor_) != 0) fail(errno);
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) fail(errno);
  if (before_naming) before_naming();
  if (std::rename(part_path_.c_str(), path_.c_str()) != 0) fail(errno);
  committed_ = true;
  sync_folder();
}

void OutputFile::sync_folder() const {
  const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail(errno);
  const int result = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  // Some file systems (FUSE, a few network ones) don't know how to sync a folder; their rename is durable
  // enough.
  if (result != 0 && error != EINVAL && error != ENOTSUP && error != ENOSYS) fail(error);
}

}  // namespace latentcast
