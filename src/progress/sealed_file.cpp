#include "latentcast/progress/sealed_file.h"

#include "latentcast/error.h"
#include "latentcast/progress/checksum.h"
#include "latentcast/progress/durable_file.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

fs::path seal_of(fs::path file) {
  file += ".sha256";
  return file;
}

std::string seal_text(const fs::path& file) {
  return sha256_of_file(file) + "  " + file.filename().string() + "\n";
}

bool is_file(const fs::path& file) {
  std::error_code ignored;
  return fs::is_regular_file(file, ignored);
}

}  // namespace

void seal_file(const fs::path& file) { write_text_file(seal_of(file), seal_text(file)); }

std::string seal_damage(const fs::path& file) {
  if (!is_file(file)) return "is missing";
  if (!is_file(seal_of(file))) return "has no checksum";
  try {
    return read_text_file(seal_of(file)) == seal_text(file) ? "" : "has been changed";
  } catch (const InputError& error) {
    return error.what();
  }
}

}  // namespace latentcast
