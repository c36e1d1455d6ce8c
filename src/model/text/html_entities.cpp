#include "html_entities.h"

#include <algorithm>
#include <sstream>

#include "utf8.h"
#include <utf8proc.h>

namespace latentcast {
namespace {

constexpr size_t kLongestName = 32;         // HTML: no name is longer
constexpr size_t kLongestCertainName = 24;  // ftfy's limit
constexpr char32_t kReplacement = 0xFFFD;

bool is_digit(char32_t c) { return c >= U'0' && c <= U'9'; }
bool is_hex(char32_t c) { return is_digit(c) || (c >= U'a' && c <= U'f') || (c >= U'A' && c <= U'F'); }
bool is_alphanumeric(char32_t c) {
  return is_digit(c) || (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z');
}
bool ends_name(char32_t c) {
  return c == U'\t' || c == U'\n' || c == U'\f' || c == U' ' || c == U'<' || c == U'&' || c == U'#' ||
         c == U';';
}

// Code points that a reference may not name and that vanish.
bool is_forbidden(uint32_t c) {
  return (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || (c >= 0x7F && c <= 0x9F) ||
         (c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE;
}

std::u32string numeric(uint32_t c) {
  if (c == 0 || (c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF) return {kReplacement};
  if (c >= 0x80 && c <= 0x9F) return {windows_1252(c)};
  if (is_forbidden(c)) return {};
  return {static_cast<char32_t>(c)};
}

// Value of "38;", "38", "x26;" and so on; what is too large for a code point stays too large.
uint32_t number(std::u32string_view digits) {
  const bool hex = digits.front() == U'x' || digits.front() == U'X';
  if (hex) digits.remove_prefix(1);
  uint32_t value = 0;
  for (char32_t c : digits) {
    if (c == U';') break;
    const uint32_t digit = is_digit(c) ? c - U'0' : (c | 0x20) - U'a' + 10;
    value = std::min<uint32_t>(value * (hex ? 16 : 10) + digit, 0x110000);
  }
  return value;
}

// Length of the reference (without &) that starts `text`; 0 if none does.
size_t reference_length(std::u32string_view text) {
  size_t n = 0;
  if (text.starts_with(U'#')) {
    const bool hex = text.size() > 1 && (text[1] == U'x' || text[1] == U'X');
    const size_t first = hex ? 2 : 1;
    n = first;
    while (n < text.size() && (hex ? is_hex(text[n]) : is_digit(text[n]))) ++n;
    if (n == first) return 0;
  } else {
    while (n < text.size() && n < kLongestName && !ends_name(text[n])) ++n;
    if (n == 0) return 0;
  }
  return n < text.size() && text[n] == U';' ? n + 1 : n;
}

// Same for a reference of letters and digits that must end in a semicolon.
size_t certain_length(std::u32string_view text) {
  const size_t first = text.starts_with(U'#') ? 1 : 0;
  size_t n = first;
  while (n < text.size() && n - first < kLongestCertainName && is_alphanumeric(text[n])) ++n;
  return n > first && n < text.size() && text[n] == U';' ? n + 1 : 0;
}

std::u32string capital(const std::u32string& letters) {
  std::u32string out;
  for (char32_t c : letters) {
    switch (c) {  // those that become several letters
      case 0xDF:
        out += U"SS";
        break;
      case 0x149:
        out += U"\u02BCN";
        break;
      case 0xFB00:
        out += U"FF";
        break;
      case 0xFB01:
        out += U"FI";
        break;
      case 0xFB02:
        out += U"FL";
        break;
      case 0xFB03:
        out += U"FFI";
        break;
      case 0xFB04:
        out += U"FFL";
        break;
      default:
        out += static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
    }
  }
  return out;
}

}  // namespace

char32_t windows_1252(uint32_t c) {
  constexpr char32_t kTable[] = {0x20AC, 0x81,   0x201A, 0x192,  0x201E, 0x2026, 0x2020, 0x2021,
                                 0x2C6,  0x2030, 0x160,  0x2039, 0x152,  0x8D,   0x17D,  0x8F,
                                 0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                 0x2DC,  0x2122, 0x161,  0x203A, 0x153,  0x9D,   0x17E,  0x178};
  return kTable[c - 0x80];
}

HtmlEntities::HtmlEntities() {
  std::istringstream names(kHtmlNames);
  for (std::string token; names >> token;) {
    const size_t mark = token.find_first_of(":!");
    Entity entity{{}, token[mark] == '!'};
    std::istringstream points(token.substr(mark + 1));
    for (std::string point; std::getline(points, point, '+');) {
      entity.value.push_back(static_cast<char32_t>(std::stoul(point, nullptr, 16)));
    }
    by_name_.emplace(token.substr(0, mark), std::move(entity));
  }
}

// `name` with or without its semicolon.
const HtmlEntities::Entity* HtmlEntities::find(std::u32string_view name) const {
  const bool closed = name.ends_with(U';');
  if (closed) name.remove_suffix(1);
  const auto found = by_name_.find(encode_utf8(name));
  return found != by_name_.end() && (closed || found->second.loose) ? &found->second : nullptr;
}

std::u32string HtmlEntities::resolve(std::u32string_view reference) const {
  if (reference.front() == U'#') return numeric(number(reference.substr(1)));
  if (const Entity* entity = find(reference)) return entity->value;
  for (size_t length = reference.size() - 1; length > 1; --length) {
    if (const Entity* entity = find(reference.substr(0, length))) {
      return entity->value + std::u32string(reference.substr(length));
    }
  }
  return U'&' + std::u32string(reference);
}

std::u32string HtmlEntities::unescape(std::u32string_view text) const {
  std::u32string out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = text[at] == U'&' ? reference_length(text.substr(at + 1)) : 0;
    if (length == 0) {
      out += text[at++];
    } else {
      out += resolve(text.substr(at + 1, length));
      at += 1 + length;
    }
  }
  return out;
}

std::optional<std::u32string> HtmlEntities::resolve_certain(std::u32string_view reference) const {
  if (reference.front() == U'#') {
    std::u32string value = unescape(U'&' + std::u32string(reference));
    if (value.find(U';') != std::u32string::npos) return std::nullopt;  // only a part of it was understood
    return value;
  }
  if (const Entity* entity = find(reference)) return entity->value;
  std::u32string lower(reference);
  for (char32_t& c : lower) {
    if (c >= U'a' && c <= U'z') return std::nullopt;
    if (c >= U'A' && c <= U'Z') c |= 0x20;
  }
  const Entity* entity = find(lower);
  const std::u32string whole = U'&' + std::u32string(reference);
  if (!entity || unescape(whole) != whole) return std::nullopt;
  return capital(entity->value);
}

std::u32string HtmlEntities::unescape_certain(std::u32string_view text) const {
  std::u32string out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = text[at] == U'&' ? certain_length(text.substr(at + 1)) : 0;
    const auto value = length == 0 ? std::nullopt : resolve_certain(text.substr(at + 1, length));
    if (value) {
      out += *value;
      at += 1 + length;
    } else {
      out += text[at++];
    }
  }
  return out;
}

}  // namespace latentcast
