#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace latentcast {

/// The table of replacements that SentencePiece compiles into a model ("Precompiled" in a tokenizer.json),
/// applied as Hugging Face does it: a short grapheme cluster as a whole if the table knows how it begins,
/// else code point by code point. That differs from SentencePiece itself where combining marks follow a
/// letter.
class Charsmap {
 public:
  /// Takes the table in base64. Throws InputError (without a file's name) if it is not one.
  explicit Charsmap(std::string_view base64);

  /// `text` is valid UTF-8, and so is what comes out.
  std::string apply(std::string_view text) const;

 private:
  /// What replaces the shortest known prefix of `chunk`; a null pointer as data() if there is none.
  std::string_view replacement(std::string_view chunk) const;

  std::vector<uint32_t> trie_;  // a double array, as Darts writes it
  std::string replacements_;    // NUL after each
};

}  // namespace latentcast
