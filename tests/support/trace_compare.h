#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace latentcast::test {

/// How a trace differs from a case's expected.safetensors.
struct TraceDifference {
  /// Largest difference over the expected tensor's largest value, for every float tensor but those of the
  /// frames.
  std::map<std::string, double> relative;
  std::vector<std::string> wrong;  ///< tensors that are missing, of another shape, or integers that differ
  int frames = 0;                  ///< largest difference of a kept frame's pixel, of 255
  double frame_mean = 0;           ///< largest difference of a frame's channel mean, of 255

  double worst() const;
};

/// Compares every tensor of `expected` with the one of the same name.
TraceDifference compare_trace(const std::filesystem::path& expected, const std::filesystem::path& trace);

}  // namespace latentcast::test
