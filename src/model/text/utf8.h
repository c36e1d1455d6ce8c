#pragma once

#include <string>
#include <string_view>

namespace latentcast {

/// Code points of UTF-8 text. Throws InputError, saying where, if the text is not UTF-8.
std::u32string decode_utf8(std::string_view text);

std::string encode_utf8(std::u32string_view text);

/// Appends one code point as UTF-8.
void append_utf8(std::string& out, char32_t c);

/// Length in bytes of the character that starts with this byte of valid UTF-8.
size_t utf8_length(char lead);

/// Unicode's White_Space property, which Rust's and Python's regular expressions mean by \s.
bool is_white_space(char32_t c);

}  // namespace latentcast
