#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace latentcast {

/// The steps of a tokenizer.json between added tokens and the model. Steps that are not known are refused,
/// since leaving one out would give other ids without a word.
class TextSteps {
 public:
  /// `normalizer` and `pre_tokenizer` as in tokenizer.json (null: none). Throws InputError (without a file's
  /// name).
  TextSteps(const nlohmann::json& normalizer, const nlohmann::json& pre_tokenizer);
  ~TextSteps();
  TextSteps(TextSteps&&) noexcept;
  TextSteps& operator=(TextSteps&&) noexcept;

  /// `text` is valid UTF-8.
  std::string normalize(std::string_view text) const;

  /// Words of normalized text; `at_start` if it begins the whole text.
  std::vector<std::string> words(const std::string& normalized, bool at_start) const;

  struct Normalizer;
  struct Splitter;

 private:
  std::vector<Normalizer> normalizers_;
  std::vector<Splitter> splitters_;
};

}  // namespace latentcast
