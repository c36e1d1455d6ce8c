#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "latentcast/pipeline/layout.h"

namespace latentcast::test {

/// How the transformer is divided; kAuto leaves it to the program.
enum class Division { kTimestep, kShard, kLayers, kAuto };

/// One render of the matrix: a job of tests/data, on so many ranks, divided in a way.
struct RankCase {
  std::string job;  ///< tiny or a case
  int ranks = 1;
  Division division = Division::kAuto;
  std::optional<DecoderPlace> decoder;
  int clips = 0;  ///< 0: as many as the job has
  int infer_frames = 48;
  int sample_steps = 4;
  bool batch = false;     ///< --decode batch
  bool small = false;     ///< a picture as small as it can be with its shape
  std::string partition;  ///< --layer_partition

  /// Of a test: letters, digits and underscores.
  std::string name() const;
  /// Options of the job, which one rank takes too.
  std::vector<std::string> job_options() const;
  /// Options that say who does what.
  std::vector<std::string> layout_options() const;

  /// Timesteps or layers: the most stages there can be. Not for kAuto.
  int64_t most_stages() const;
  /// Whether every rank has something to do. Not for kAuto.
  bool is_feasible() const;
};

/// For GoogleTest.
void PrintTo(const RankCase& rank_case, std::ostream* out);

/// The tiny job and the three cases × 1 to 5 ranks × by timestep, sharded, by layers × decoder stream, rank.
std::vector<RankCase> whole_matrix();
/// The tiny job with other clips and steps, on all layouts.
std::vector<RankCase> other_clips_and_steps();

std::vector<RankCase> feasible(const std::vector<RankCase>& cases);
std::vector<RankCase> infeasible(const std::vector<RankCase>& cases);

/// So few of the cases that every two values of job, ranks, division and decoder that occur together in one
/// of `cases` do so in one of these.
std::vector<RankCase> covering(const std::vector<RankCase>& cases);

/// The cases small and with two clips of 24 frames, which is quick and has both condition passes.
std::vector<RankCase> shortened(std::vector<RankCase> cases);

}  // namespace latentcast::test
