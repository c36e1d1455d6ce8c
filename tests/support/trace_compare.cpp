#include "trace_compare.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "latentcast/weights/safetensors.h"

namespace latentcast::test {
namespace {

template <typename T>
std::vector<T> values(const TensorView& view) {
  std::vector<T> out(view.bytes.size() / sizeof(T));
  std::memcpy(out.data(), view.bytes.data(), view.bytes.size());
  return out;
}

double relative_difference(const TensorView& want, const TensorView& got) {
  const std::vector<float> a = values<float>(want), b = values<float>(got);
  double largest = 0, difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i])));
    const double d = std::abs(static_cast<double>(a[i]) - b[i]);
    difference = std::isfinite(d) ? std::max(difference, d) : HUGE_VAL;
  }
  return difference == 0 ? 0 : difference / largest;
}

/// Expected frames are some of the frames; `frame_index` says which.
void compare_frames(const TensorArchive& expected, const TensorArchive& trace, TraceDifference& result) {
  const std::vector<int64_t> index = values<int64_t>(*expected.find("frame_index"));
  const TensorView& want = *expected.find("frames");
  const TensorView* got = trace.find("frames");
  const size_t frame = want.bytes.size() / index.size();
  if (got == nullptr || got->bytes.size() < (static_cast<size_t>(index.back()) + 1) * frame) {
    result.wrong.push_back("frames: too few in the trace");
    return;
  }
  for (size_t i = 0; i < index.size(); ++i) {
    const std::byte* a = want.bytes.data() + i * frame;
    const std::byte* b = got->bytes.data() + static_cast<size_t>(index[i]) * frame;
    for (size_t k = 0; k < frame; ++k) {
      result.frames = std::max(result.frames, std::abs(static_cast<int>(a[k]) - static_cast<int>(b[k])));
    }
  }
}

void compare_means(const TensorView& want, const TensorView& got, TraceDifference& result) {
  const std::vector<float> a = values<float>(want), b = values<float>(got);
  for (size_t i = 0; i < a.size(); ++i) {
    result.frame_mean = std::max(result.frame_mean, std::abs(static_cast<double>(a[i]) - b[i]));
  }
}

}  // namespace

double TraceDifference::worst() const {
  double worst = 0;
  for (const auto& [name, difference] : relative) {
    worst = std::max(worst, difference);
  }
  return worst;
}

TraceDifference compare_trace(const std::filesystem::path& expected_file,
                              const std::filesystem::path& trace_file) {
  const TensorArchive expected = open_safetensors(expected_file.string());
  const TensorArchive trace = open_safetensors(trace_file.string());
  TraceDifference result;
  for (const std::string& name : expected.names()) {
    const TensorView& want = *expected.find(name);
    const TensorView* got = trace.find(name);
    if (name == "frames") {
      compare_frames(expected, trace, result);
    } else if (name == "frame_index") {
      continue;
    } else if (got == nullptr) {
      result.wrong.push_back(name + ": missing");
    } else if (got->shape != want.shape || got->dtype != want.dtype) {
      result.wrong.push_back(name + ": another shape or type");
    } else if (name == "frame_mean") {
      compare_means(want, *got, result);
    } else if (want.dtype == DType::kF32) {
      result.relative[name] = relative_difference(want, *got);
    } else if (!std::equal(want.bytes.begin(), want.bytes.end(), got->bytes.begin())) {
      result.wrong.push_back(name + ": differs");
    }
  }
  return result;
}

}  // namespace latentcast::test
