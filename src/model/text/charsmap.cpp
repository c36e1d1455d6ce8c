#include "charsmap.h"

#include <cstring>

#include "utf8.h"
#include <utf8proc.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

// Clusters of this many bytes or more are not looked up as a whole.
constexpr size_t kLongCluster = 6;

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

std::string decode_base64(std::string_view text) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    const int value = base64_value(c);
    if (value < 0) throw InputError("its table of replacements (precompiled_charsmap) is not base64");
    bits = (bits << 6) | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>((bits >> count) & 0xFF));
    }
  }
  return out;
}

// Fields of a unit of the double array.
bool has_leaf(uint32_t unit) { return (unit >> 8) & 1; }
uint32_t value_of(uint32_t unit) { return unit & 0x7FFFFFFFu; }
uint32_t label_of(uint32_t unit) { return unit & 0x800000FFu; }
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 0x200u) >> 6); }

// Length in bytes of the first grapheme cluster.
size_t first_cluster(std::string_view text) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  utf8proc_int32_t previous = -1, state = 0;
  size_t at = 0;
  while (at < text.size()) {
    utf8proc_int32_t c = -1;
    const auto length = utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(text.size() - at), &c);
    if (previous >= 0 && utf8proc_grapheme_break_stateful(previous, c, &state)) break;
    previous = c;
    at += static_cast<size_t>(length);
  }
  return at;
}

}  // namespace

Charsmap::Charsmap(std::string_view base64) {
  const std::string blob = decode_base64(base64);
  uint32_t trie_bytes = 0;
  if (blob.size() >= sizeof trie_bytes) std::memcpy(&trie_bytes, blob.data(), sizeof trie_bytes);
  if (trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes > blob.size() - sizeof trie_bytes) {
    throw InputError("its table of replacements (precompiled_charsmap) is damaged");
  }
  trie_.resize(trie_bytes / 4);
  std::memcpy(trie_.data(), blob.data() + sizeof trie_bytes, trie_bytes);
  replacements_ = blob.substr(sizeof trie_bytes + trie_bytes);
  decode_utf8(replacements_);  // so that no lookup can yield anything else
}

std::string_view Charsmap::replacement(std::string_view chunk) const {
  size_t node = offset_of(trie_[0]);
  for (char c : chunk) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) break;
    node ^= byte;
    if (node >= trie_.size() || label_of(trie_[node]) != byte) break;
    const uint32_t unit = trie_[node];
    node ^= offset_of(unit);
    if (!has_leaf(unit) || node >= trie_.size()) continue;
    const uint32_t start = value_of(trie_[node]);
    if (start >= replacements_.size()) break;
    return std::string_view(replacements_.c_str() + start);
  }
  return {};
}

std::string Charsmap::apply(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::string_view cluster = text.substr(0, first_cluster(text));
    text.remove_prefix(cluster.size());
    if (cluster.size() < kLongCluster) {
      if (const auto whole = replacement(cluster); whole.data()) {
        out += whole;
        continue;
      }
    }
    for (size_t at = 0; at < cluster.size();) {
      const std::string_view c = cluster.substr(at, utf8_length(cluster[at]));
      const auto known = replacement(c);
      out += known.data() ? known : c;
      at += c.size();
    }
  }
  return out;
}

}  // namespace latentcast
