#pragma once

#include <cstdio>
#include <memory>
#include <new>
#include <string>

// Compiled in: no library to bring along.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace latentcast {

/// XXH3 over bytes that come in pieces.
class Xxh3 {
 public:
  Xxh3() : state_(XXH3_createState(), &XXH3_freeState) {
    if (!state_) throw std::bad_alloc();
    XXH3_128bits_reset(state_.get());
  }
  void update(const void* bytes, size_t size) { XXH3_128bits_update(state_.get(), bytes, size); }
  std::string digest() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
    char text[33];
    std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                  static_cast<unsigned long long>(hash.low64));
    return text;
  }

 private:
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
};

}  // namespace latentcast
