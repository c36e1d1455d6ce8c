#include "ranks_matrix.h"

#include <algorithm>
#include <map>
#include <set>

namespace latentcast::test {
namespace {

// As the jobs' checkpoints have them; a report's layout would show another number.
const std::map<std::string, int64_t>& layers_of_jobs() {
  static const std::map<std::string, int64_t> layers = {
      {"tiny", 2}, {"duo", 3}, {"landscape", 4}, {"portrait", 5}};
  return layers;
}

std::string text_of(Division division) {
  switch (division) {
    case Division::kTimestep:
      return "timestep";
    case Division::kShard:
      return "shard";
    case Division::kLayers:
      return "layers";
    case Division::kAuto:
      break;
  }
  return "auto";
}

std::string text_of(const std::optional<DecoderPlace>& decoder) {
  if (!decoder) return "auto";
  return *decoder == DecoderPlace::kRank ? "rank" : "stream";
}

void add_layouts(const RankCase& job, std::vector<RankCase>& cases) {
  for (int ranks = 1; ranks <= 5; ++ranks) {
    for (const Division division : {Division::kTimestep, Division::kShard, Division::kLayers}) {
      for (const DecoderPlace decoder : {DecoderPlace::kStream, DecoderPlace::kRank}) {
        RankCase rank_case = job;
        rank_case.ranks = ranks;
        rank_case.division = division;
        rank_case.decoder = decoder;
        cases.push_back(rank_case);
      }
    }
  }
}

/// Every two of a case's four properties, with their values.
std::set<std::string> pairs_of(const RankCase& c) {
  const std::string values[] = {"job " + c.job, "ranks " + std::to_string(c.ranks),
                                "division " + text_of(c.division), "decoder " + text_of(c.decoder)};
  std::set<std::string> pairs;
  for (size_t i = 0; i < std::size(values); ++i) {
    for (size_t j = i + 1; j < std::size(values); ++j) pairs.insert(values[i] + ", " + values[j]);
  }
  return pairs;
}

template <typename Predicate>
std::vector<RankCase> those(const std::vector<RankCase>& cases, Predicate predicate) {
  std::vector<RankCase> result;
  std::copy_if(cases.begin(), cases.end(), std::back_inserter(result), predicate);
  return result;
}

}  // namespace

std::string RankCase::name() const {
  std::string text = job + "_" + std::to_string(ranks) + (ranks == 1 ? "_rank_" : "_ranks_") +
                     text_of(division) + "_" + text_of(decoder);
  if (clips != 0) text += "_" + std::to_string(clips) + "_clips";
  if (infer_frames != 48) text += "_" + std::to_string(infer_frames) + "_frames";
  if (sample_steps != 4) text += "_" + std::to_string(sample_steps) + "_steps";
  if (batch) text += "_batch";
  if (small) text += "_small";
  return text;
}

std::vector<std::string> RankCase::job_options() const {
  std::vector<std::string> options = {"--infer_frames", std::to_string(infer_frames),
                                      "--sample_steps", std::to_string(sample_steps),
                                      "--decode",       batch ? "batch" : "online"};
  if (clips != 0) options.insert(options.end(), {"--num_clip", std::to_string(clips)});
  if (small && job != "tiny") options.insert(options.end(), {"--size", "128*64"});
  return options;
}

std::vector<std::string> RankCase::layout_options() const {
  std::vector<std::string> options;
  const auto add = [&](const std::string& option, const std::string& value) {
    options.insert(options.end(), {option, value});
  };
  if (division != Division::kAuto) add("--split", division == Division::kLayers ? "layers" : "timestep");
  if (division == Division::kShard) add("--shard", "on");
  if (decoder) add("--decoder", text_of(decoder));
  if (!partition.empty()) add("--layer_partition", partition);
  return options;
}

int64_t RankCase::most_stages() const {
  return division == Division::kLayers ? layers_of_jobs().at(job) : sample_steps;
}

bool RankCase::is_feasible() const {
  const int stages = decoder == DecoderPlace::kRank ? ranks - 1 : ranks;
  return stages >= 1 && stages <= most_stages();
}

void PrintTo(const RankCase& rank_case, std::ostream* out) { *out << rank_case.name(); }

std::vector<RankCase> whole_matrix() {
  std::vector<RankCase> cases;
  for (const char* job : {"tiny", "duo", "landscape", "portrait"}) {
    RankCase base;
    base.job = job;
    add_layouts(base, cases);
  }
  return cases;
}

std::vector<RankCase> other_clips_and_steps() {
  std::vector<RankCase> cases;
  RankCase base;
  base.job = "tiny";
  for (const int frames : {12, 24}) {
    RankCase job = base;
    job.infer_frames = frames;
    add_layouts(job, cases);
  }
  for (const int steps : {1, 2, 6, 8}) {
    RankCase job = base;
    job.clips = 2;
    job.sample_steps = steps;
    add_layouts(job, cases);
  }
  return cases;
}

std::vector<RankCase> feasible(const std::vector<RankCase>& cases) {
  return those(cases, [](const RankCase& c) { return c.is_feasible(); });
}

std::vector<RankCase> infeasible(const std::vector<RankCase>& cases) {
  return those(cases, [](const RankCase& c) { return !c.is_feasible(); });
}

std::vector<RankCase> covering(const std::vector<RankCase>& cases) {
  std::set<std::string> open;
  for (const RankCase& c : cases) open.merge(pairs_of(c));
  const auto gain = [&](const RankCase& c) {
    const std::set<std::string> pairs = pairs_of(c);
    return std::count_if(pairs.begin(), pairs.end(),
                         [&](const std::string& pair) { return open.contains(pair); });
  };
  std::vector<RankCase> chosen;
  while (!open.empty()) {
    // The first of those that cover most: cheap jobs come first.
    const auto best = std::max_element(
        cases.begin(), cases.end(), [&](const RankCase& a, const RankCase& b) { return gain(a) < gain(b); });
    chosen.push_back(*best);
    for (const std::string& pair : pairs_of(*best)) open.erase(pair);
  }
  return chosen;
}

std::vector<RankCase> shortened(std::vector<RankCase> cases) {
  for (RankCase& c : cases) {
    c.clips = 2;
    c.infer_frames = 24;
    c.small = true;
  }
  return cases;
}

}  // namespace latentcast::test
