#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace latentcast {

/// A unigram language model over pieces of words: a word becomes the pieces whose scores add up to most.
class Unigram {
 public:
  struct Settings {
    int32_t unknown = 0;         ///< id of what no piece covers
    bool byte_fallback = false;  ///< unknown text as its bytes' pieces <0xNN>, where all of them exist
  };

  /// `pieces` are (text, score), a piece's id is its place. Throws InputError (without a file's name) if
  /// there are none or `unknown` is not among them.
  Unigram(std::vector<std::pair<std::string, double>> pieces, Settings settings);

  /// Appends the ids of one word (valid UTF-8). Neighbouring unknown characters become one unknown piece.
  void encode(std::string_view word, std::vector<int32_t>& ids) const;

  int32_t size() const { return static_cast<int32_t>(scores_.size()); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  struct Step {
    double score = 0;
    size_t start = kNone;
    int32_t id = 0;
  };
  static constexpr size_t kNone = static_cast<size_t>(-1);

  std::vector<Step> best_paths(std::string_view word) const;
  void append_unknown(std::string_view text, std::vector<int32_t>& ids) const;

  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> ids_;
  std::vector<double> scores_;
  size_t longest_ = 0;  // piece, in bytes
  double unknown_score_ = 0;
  Settings settings_;
};

}  // namespace latentcast
