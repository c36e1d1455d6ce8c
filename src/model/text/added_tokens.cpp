#include "added_tokens.h"

#include <algorithm>

#include "utf8.h"
#include <utf8proc.h>

namespace latentcast {
namespace {

bool is_word_character(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return c == 0x200C || c == 0x200D;  // joiners
  }
}

char32_t character_at(std::string_view text, size_t at) {
  return decode_utf8(text.substr(at, utf8_length(text[at]))).front();
}

// Where the character before `end` starts; `end` > 0.
size_t previous_character(std::string_view text, size_t end) {
  do {
    --end;
  } while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

bool stands_alone(std::string_view text, size_t start, size_t end) {
  const bool word_before =
      start > 0 && is_word_character(character_at(text, previous_character(text, start)));
  const bool word_after = end < text.size() && is_word_character(character_at(text, end));
  return !word_before && !word_after;
}

size_t skip_space_back(std::string_view text, size_t at) {
  while (at > 0) {
    const size_t before = previous_character(text, at);
    if (!is_white_space(character_at(text, before))) break;
    at = before;
  }
  return at;
}

size_t skip_space(std::string_view text, size_t at) {
  while (at < text.size() && is_white_space(character_at(text, at))) at += utf8_length(text[at]);
  return at;
}

const AddedToken* longest_at(std::string_view text, size_t at, const std::vector<AddedToken>& tokens) {
  const AddedToken* longest = nullptr;
  for (const AddedToken& token : tokens) {
    if (text.substr(at).starts_with(token.content) &&
        (!longest || token.content.size() > longest->content.size())) {
      longest = &token;
    }
  }
  return longest;
}

}  // namespace

std::vector<TextPart> split_at_added_tokens(std::string_view text, const std::vector<AddedToken>& tokens) {
  std::vector<TextPart> parts;
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const AddedToken* token = longest_at(text, at, tokens);
    if (!token) {
      at += utf8_length(text[at]);
      continue;
    }
    size_t start = at, end = at + token->content.size();
    at = end;
    if (token->single_word && !stands_alone(text, start, end)) continue;
    // White space that the token before has already taken stays with it.
    if (token->lstrip) start = std::max(skip_space_back(text, start), done);
    if (token->rstrip) end = skip_space(text, end);
    if (done < start) parts.push_back({text.substr(done, start - done), -1});
    parts.push_back({text.substr(start, end - start), token->id});
    done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done), -1});
  return parts;
}

}  // namespace latentcast
