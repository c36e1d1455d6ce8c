#include "latentcast/progress/checksum.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "descriptor.h"
#include "xxh3.h"
#include <openssl/evp.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPiece = size_t{1} << 20;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    require(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void update(const void* bytes, size_t size) { require(EVP_DigestUpdate(context_.get(), bytes, size) == 1); }
  std::string digest() {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    require(EVP_DigestFinal_ex(context_.get(), bytes, &size) == 1);
    std::string text;
    for (unsigned int i = 0; i < size; ++i) {
      constexpr char kDigits[] = "0123456789abcdef";
      text += kDigits[bytes[i] >> 4];
      text += kDigits[bytes[i] & 15];
    }
    return text;
  }

 private:
  static void require(bool done) {
    if (!done) throw InternalError("OpenSSL's SHA-256 doesn't work");
  }
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

[[noreturn]] void unreadable(const fs::path& file, int error) {
  throw InputError(file.string() + " can't be read: " + std::strerror(error));
}

template <typename Hash>
std::string hash_of_file(const fs::path& file, const StepSink& on_step) {
  const Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.number() < 0) unreadable(file, errno);
  std::vector<char> piece(kPiece);
  Hash hash;
  while (true) {
    const ssize_t got = ::read(descriptor.number(), piece.data(), piece.size());
    if (got == 0) return hash.digest();
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) unreadable(file, errno);
    hash.update(piece.data(), static_cast<size_t>(got));
    if (on_step) on_step();
  }
}

template <typename Hash>
std::string as_output(const Hash& hash) {
  try {
    return hash();
  } catch (const InputError& error) {
    throw OutputError(std::string(error.what()) +
                      ", although it was just written; see that its folder and disk are there and run again");
  }
}

}  // namespace

std::string sha256(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes.data(), bytes.size());
  return hash.digest();
}

std::string sha256_of_file(const fs::path& file, const StepSink& on_step) {
  return hash_of_file<Sha256>(file, on_step);
}

std::string xxh3(std::span<const std::byte> bytes) {
  Xxh3 hash;
  hash.update(bytes.data(), bytes.size());
  return hash.digest();
}

std::string xxh3_of_file(const fs::path& file, const StepSink& on_step) {
  return hash_of_file<Xxh3>(file, on_step);
}

std::string sha256_of_output(const fs::path& file) {
  return as_output([&] { return sha256_of_file(file); });
}

std::string xxh3_of_output(const fs::path& file) {
  return as_output([&] { return xxh3_of_file(file); });
}

}  // namespace latentcast
