#include "latentcast/progress/durable_file.h"

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "descriptor.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "latentcast/error.h"
#include "latentcast/progress/pause_point.h"

namespace latentcast {
namespace fs = std::filesystem;

void write_text_file(const fs::path& file, const std::string& text) {
  fs::path part = file;
  part += ".part";
  try {
    Descriptor descriptor(part, O_WRONLY | O_CREAT | O_TRUNC);
    descriptor.write_all(text.data(), text.size(), file);
    descriptor.sync(file);
    descriptor.close(file);
    pause_point("text-unnamed");
    rename_durably(part, file);
  } catch (const OutputError&) {
    std::error_code ignored;
    fs::remove(part, ignored);
    throw;
  }
}

std::string read_text_file(const fs::path& file) {
  std::error_code ignored;
  std::ifstream in(file, std::ios::binary);
  if (!in || fs::is_directory(file, ignored)) {
    throw InputError(file.string() + " can't be read; is it there, and may it be read?");
  }
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (in.bad()) {
    throw InputError(file.string() + " can't be read to its end");
  }
  return text;
}

void sync_file(const fs::path& file) {
  Descriptor descriptor(file, O_RDONLY);
  descriptor.sync(file);
}

void sync_folder(const fs::path& folder) {
  const fs::path place = folder.empty() ? fs::path(".") : folder;
  Descriptor descriptor(place, O_RDONLY | O_DIRECTORY);
  // Some file systems (FUSE, a few network ones) can't sync a folder; their renames are durable enough.
  if (::fsync(descriptor.number()) != 0 && errno != EINVAL && errno != ENOTSUP && errno != ENOSYS) {
    throw_output_error(place, errno);
  }
}

void make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw OutputError(folder.string() + ": can't make this folder: " + error.message() +
                      "; remove what is in its place, or choose another place");
  }
}

void rename_durably(const fs::path& from, const fs::path& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    throw_output_error(to, errno);
  }
  sync_folder(to.parent_path());
}

}  // namespace latentcast
