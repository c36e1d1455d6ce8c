#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

namespace latentcast {

/// Turns text into the token ids that Hugging Face's fast tokenizer gives for the same tokenizer.json:
/// unigram pieces, added tokens matched first, `</s>` at the end. Safe to use from several threads at once.
class Tokenizer {
 public:
  /// `folder` holds tokenizer.json (CKPT/google/umt5-xxl). Throws InputError naming the file if it is
  /// missing, corrupt, or asks for a step that is not supported.
  explicit Tokenizer(const std::filesystem::path& folder);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Ids of UTF-8 text taken as it is (prompts go through clean_prompt() first), at most `max_tokens` (at
  /// least 1), the last of which is always `</s>`. Throws InputError if the text is not UTF-8.
  std::vector<int32_t> encode(std::string_view text, int max_tokens = 512) const;

  /// One more than the largest id.
  int32_t vocabulary_size() const;

 private:
  struct Model;
  std::unique_ptr<const Model> model_;
};

}  // namespace latentcast
