#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace latentcast {

/// All names of html_names.cpp, separated by spaces.
extern const char* const kHtmlNames;

/// What Windows-1252 has at 0x80..0x9F; the five places it leaves open stay what they are.
char32_t windows_1252(uint32_t c);

/// HTML's character references: &amp; &#38; &#x26;
class HtmlEntities {
 public:
  HtmlEntities();

  /// Resolves every reference as browsers do: the semicolon may be missing, the longest known name counts.
  std::u32string unescape(std::u32string_view text) const;

  /// Resolves only what is certainly meant as a reference: ended by a semicolon, known as a whole. Names of
  /// lower case may also stand in capitals for the capital letter.
  std::u32string unescape_certain(std::u32string_view text) const;

 private:
  struct Entity {
    std::u32string value;
    bool loose = false;  // known without a semicolon too
  };

  const Entity* find(std::u32string_view name) const;
  std::u32string resolve(std::u32string_view reference) const;
  std::optional<std::u32string> resolve_certain(std::u32string_view reference) const;

  std::unordered_map<std::string, Entity> by_name_;
};

}  // namespace latentcast
