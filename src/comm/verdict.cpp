#include "verdict.h"

#include <algorithm>
#include <functional>

namespace latentcast {
namespace {

constexpr double kAlive = 3;  // seconds since the last report of a rank that can be relied on to speak

/// The worst of those that `accused` says, by `seconds`; −1: none.
int worst(const std::vector<RankState>& ranks, const std::function<bool(const RankState&)>& accused,
          double RankState::*seconds) {
  int found = -1;
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (!ranks[i].done && accused(ranks[i]) &&
        (found < 0 || ranks[i].*seconds > ranks[static_cast<size_t>(found)].*seconds)) {
      found = static_cast<int>(i);
    }
  }
  return found;
}

int choose_speaker(const std::vector<RankState>& ranks, int culprit) {
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (static_cast<int>(i) != culprit && ranks[i].silent < kAlive) {
      return static_cast<int>(i);
    }
  }
  return culprit == 0 ? 1 : 0;
}

std::string limit(double deadline) { return " (--timeout " + std::to_string(std::lround(deadline)) + ")"; }

std::string all_wait(const std::vector<RankState>& ranks, double deadline) {
  std::string text =
      "no rank has got on for " + seconds_text(deadline) + limit(deadline) + ", and each waits for another:";
  for (const RankState& rank : ranks) {
    text += "\n  " + name_of(rank.peer) + ": " + (rank.done ? "done" : rank.doing.what);
  }
  return text + "\nsee the network if the ranks are on several hosts; else this is an error in the program";
}

}  // namespace

std::optional<Verdict> judge(const std::vector<RankState>& ranks, double deadline) {
  Verdict verdict;
  const auto state = [&]() -> const RankState& { return ranks[static_cast<size_t>(verdict.culprit)]; };
  verdict.culprit = worst(
      ranks, [&](const RankState& rank) { return rank.silent > deadline; }, &RankState::silent);
  if (verdict.culprit >= 0) {
    verdict.message = name_of(state().peer) + " has not been heard of for " + seconds_text(state().silent) +
                      limit(deadline) + ": it has ended or stands still; it was last at " +
                      state().doing.what + "; see its log and its host, then run again";
  } else {
    verdict.culprit = worst(
        ranks, [&](const RankState& rank) { return rank.quiet > deadline && !rank.doing.waiting; },
        &RankState::quiet);
    if (verdict.culprit >= 0) {
      verdict.message = name_of(state().peer) + " has made no progress for " + seconds_text(state().quiet) +
                        limit(deadline) + " at " + state().doing.what +
                        "; see its log, then run again, with a longer --timeout if it is only slow";
    } else if (std::all_of(ranks.begin(), ranks.end(),
                           [&](const RankState& rank) { return rank.done || rank.quiet > deadline; }) &&
               std::any_of(ranks.begin(), ranks.end(), [](const RankState& rank) { return !rank.done; })) {
      verdict.message = all_wait(ranks, deadline);
    } else {
      return std::nullopt;
    }
  }
  verdict.speaker = choose_speaker(ranks, verdict.culprit);
  return verdict;
}

}  // namespace latentcast
