#include "resampler.h"

#include <string>

#include "latentcast/error.h"

namespace latentcast {

Resampler::Resampler(int from_rate, int to_rate, int channels)
    : channels_(channels), ratio_(static_cast<double>(to_rate) / from_rate) {
  const soxr_io_spec_t samples = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
  const soxr_runtime_spec_t one_thread = soxr_runtime_spec(1);
  soxr_error_t error = nullptr;
  soxr_.reset(soxr_create(from_rate, to_rate, channels, &error, &samples, &quality, &one_thread));
  if (error || !soxr_)
    throw InternalError(std::string("can't resample: ") + (error ? error : "out of memory"));
}

size_t Resampler::process(const float* in, size_t frames, std::vector<float>& out) {
  const size_t room = static_cast<size_t>(static_cast<double>(frames) * ratio_) + 4096;
  const size_t before = out.size();
  out.resize(before + room * channels_);
  size_t used = 0;
  size_t made = 0;
  const soxr_error_t error = soxr_process(soxr_.get(), in, frames, &used, out.data() + before, room, &made);
  out.resize(before + made * channels_);
  if (error) throw InternalError(std::string("can't resample: ") + error);
  return in ? used : made;
}

void Resampler::push(std::span<const float> in, std::vector<float>& out) {
  size_t left = in.size() / channels_;
  const float* at = in.data();
  while (left > 0) {
    const size_t used = process(at, left, out);
    at += used * channels_;
    left -= used;
  }
}

void Resampler::finish(std::vector<float>& out) {
  while (process(nullptr, 0, out) > 0) {
  }
}

}  // namespace latentcast
