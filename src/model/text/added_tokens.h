#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace latentcast {

/// A token that is looked for in the text before anything else is done to it.
struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool single_word = false;  ///< only where it is no part of a word
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< and after it
};

/// A stretch of text: an added token, or (id < 0) ordinary text.
struct TextPart {
  std::string_view text;
  int32_t id = -1;
};

/// Cuts text (valid UTF-8) at the added tokens; where several begin at the same place the longest counts.
std::vector<TextPart> split_at_added_tokens(std::string_view text, const std::vector<AddedToken>& tokens);

}  // namespace latentcast
