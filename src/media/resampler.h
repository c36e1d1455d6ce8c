#pragma once

#include <memory>
#include <span>
#include <vector>

#include <soxr.h>

namespace latentcast {

/// soxr in high quality on interleaved float samples, piece by piece.
class Resampler {
 public:
  Resampler(int from_rate, int to_rate, int channels);

  /// Appends to `out` what `in` makes available.
  void push(std::span<const float> in, std::vector<float>& out);

  /// Appends the rest, after the last push.
  void finish(std::vector<float>& out);

 private:
  struct Deleter {
    void operator()(soxr* resampler) const { soxr_delete(resampler); }
  };
  size_t process(const float* in, size_t frames, std::vector<float>& out);

  int channels_;
  double ratio_;
  std::unique_ptr<soxr, Deleter> soxr_;
};

}  // namespace latentcast
