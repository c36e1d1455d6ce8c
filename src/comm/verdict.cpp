#include "verdict.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

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

std::string limit(double deadline) {
  return " (the limit is " + std::to_string(std::lround(deadline)) + " s)";
}

std::string all_wait(const std::vector<RankState>& ranks, double deadline) {
  std::string text =
      "no rank has got on for " + seconds_text(deadline) + limit(deadline) + ", and each waits for another:";
  for (const RankState& rank : ranks) {
    text += "\n  " + name_of(rank.peer) + ": " + (rank.done ? "done" : rank.doing.what);
  }
  return text + "\nsee the network if the ranks are on several hosts; else this is an error in the program";
}

std::string silence(const RankState& rank, double deadline) {
  return name_of(rank.peer) + " has not been heard of for " + seconds_text(rank.silent) + limit(deadline) +
         ": it has ended or stands still; it was last at " + rank.doing.what +
         "; see its log and its host, then run again";
}

std::string standstill(const RankState& rank, double deadline) {
  return name_of(rank.peer) + " has made no progress for " + seconds_text(rank.quiet) + limit(deadline) +
         " at " + rank.doing.what +
         "; see its log, then run again, with a longer --timeout if it is only slow";
}

}  // namespace

std::optional<Verdict> judge(const std::vector<RankState>& ranks, const Limits& limits) {
  const auto verdict = [&](int culprit, std::string message) {
    return Verdict{culprit, choose_speaker(ranks, culprit), std::move(message)};
  };
  const auto state = [&](int rank) -> const RankState& { return ranks[static_cast<size_t>(rank)]; };
  const int silent = worst(
      ranks, [&](const RankState& rank) { return rank.silent > limits.silent; }, &RankState::silent);
  if (silent >= 0) {
    return verdict(silent, silence(state(silent), limits.silent));
  }
  const int standing = worst(
      ranks, [&](const RankState& rank) { return rank.quiet > limits.quiet && !rank.doing.waiting; },
      &RankState::quiet);
  if (standing >= 0) {
    return verdict(standing, standstill(state(standing), limits.quiet));
  }
  const auto is_done = [](const RankState& rank) { return rank.done; };
  // Ranks that are done count for as long too: the others may have gone on with them and not yet said so.
  const auto gets_on = [&](const RankState& rank) { return rank.quiet <= limits.quiet; };
  if (std::all_of(ranks.begin(), ranks.end(), is_done) || std::any_of(ranks.begin(), ranks.end(), gets_on)) {
    return std::nullopt;
  }
  return verdict(-1, all_wait(ranks, limits.quiet));
}

}  // namespace latentcast
