#include "unigram.h"

#include <algorithm>
#include <cstdio>

#include "utf8.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

// How much worse an unknown character is than the worst piece (SentencePiece's figure).
constexpr double kUnknownPenalty = 10.0;

}  // namespace

Unigram::Unigram(std::vector<std::pair<std::string, double>> pieces, Settings settings)
    : settings_(settings) {
  if (settings.unknown < 0 || static_cast<size_t>(settings.unknown) >= pieces.size()) {
    throw InputError("its vocabulary has no unknown piece (unk_id " + std::to_string(settings.unknown) +
                     " of " + std::to_string(pieces.size()) + " pieces)");
  }
  scores_.reserve(pieces.size());
  ids_.reserve(pieces.size());
  double worst = pieces.front().second;
  for (auto& [text, score] : pieces) {
    longest_ = std::max(longest_, text.size());
    worst = std::min(worst, score);
    ids_[std::move(text)] = static_cast<int32_t>(scores_.size());
    scores_.push_back(score);
  }
  unknown_score_ = worst - kUnknownPenalty;
}

// For every byte position the best way to get there. Of equal ways the first found (the longest last piece)
// stays.
std::vector<Unigram::Step> Unigram::best_paths(std::string_view word) const {
  std::vector<Step> best(word.size() + 1);
  const auto offer = [&best](size_t start, size_t end, int32_t id, double score) {
    Step& step = best[end];
    if (step.start == kNone || score > step.score) step = {score, start, id};
  };
  for (size_t start = 0; start < word.size();) {
    const double so_far = best[start].score;
    const size_t character = utf8_length(word[start]);
    bool covered = false;
    for (size_t length = 1; length <= std::min(longest_, word.size() - start); ++length) {
      const auto piece = ids_.find(word.substr(start, length));
      if (piece == ids_.end()) continue;
      offer(start, start + length, piece->second, scores_[static_cast<size_t>(piece->second)] + so_far);
      covered = covered || length == character;
    }
    if (!covered) offer(start, start + character, settings_.unknown, unknown_score_ + so_far);
    start += character;
  }
  return best;
}

void Unigram::append_unknown(std::string_view text, std::vector<int32_t>& ids) const {
  if (settings_.byte_fallback) {
    std::vector<int32_t> bytes;
    for (char c : text) {
      char name[8];
      std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(static_cast<unsigned char>(c)));
      if (const auto piece = ids_.find(std::string_view(name)); piece != ids_.end())
        bytes.push_back(piece->second);
    }
    if (bytes.size() == text.size()) {
      ids.insert(ids.end(), bytes.begin(), bytes.end());
      return;
    }
  }
  ids.push_back(settings_.unknown);
}

void Unigram::encode(std::string_view word, std::vector<int32_t>& ids) const {
  const std::vector<Step> best = best_paths(word);
  std::vector<std::pair<size_t, size_t>> spans;  // last first
  bool last_unknown = false;
  for (size_t end = word.size(); end > 0;) {
    const Step& step = best[end];
    const bool unknown = step.id == settings_.unknown;
    if (unknown && last_unknown) {
      spans.back().first = step.start;
    } else {
      spans.emplace_back(step.start, end);
    }
    last_unknown = unknown;
    end = step.start;
  }
  for (auto span = spans.rbegin(); span != spans.rend(); ++span) {
    const std::string_view text = word.substr(span->first, span->second - span->first);
    if (const auto piece = ids_.find(text); piece != ids_.end()) {
      ids.push_back(piece->second);
    } else {
      append_unknown(text, ids);
    }
  }
}

}  // namespace latentcast
