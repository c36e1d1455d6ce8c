#include "bench_ratios.h"

#include <algorithm>

namespace latentcast {
namespace {

using Json = nlohmann::ordered_json;

class Comparison {
 public:
  explicit Comparison(const std::vector<MeasuredLayout>& layouts) : layouts_(layouts) {}

  /// One rank that does with its blocks what this layout does; nullptr if it wasn't measured.
  const MeasuredLayout* one_like(const MeasuredLayout& layout) const {
    const bool decodes = layout.bench.decoder != BenchDecoder::kOff;
    const MeasuredLayout* stream = one(decodes ? BenchDecoder::kStream : BenchDecoder::kOff);
    return decodes && stream == nullptr ? one(BenchDecoder::kAfter) : stream;
  }

  /// The same layout but for these; nullptr if it wasn't measured.
  const MeasuredLayout* like(const MeasuredLayout& layout, bool shard, BenchDecoder decoder) const {
    return find([&](const BenchLayout& other) {
      const BenchLayout& own = layout.bench;
      return other.ranks == own.ranks && other.split == own.split && other.shard == shard &&
             other.decoder == decoder && other.sends == own.sends &&
             other.partition.kind == own.partition.kind && other.partition.given == own.partition.given;
    });
  }

 private:
  const MeasuredLayout* one(BenchDecoder decoder) const {
    return find([&](const BenchLayout& other) { return other.ranks == 1 && other.decoder == decoder; });
  }

  template <typename Matches>
  const MeasuredLayout* find(Matches matches) const {
    const auto found = std::find_if(layouts_.begin(), layouts_.end(), [&](const MeasuredLayout& layout) {
      return layout.period > 0 && matches(layout.bench);
    });
    return found == layouts_.end() ? nullptr : &*found;
  }

  const std::vector<MeasuredLayout>& layouts_;
};

Json speedup(const MeasuredLayout& one, const MeasuredLayout& layout) {
  const double reached = one.period / layout.period, allowed = one.allowed / layout.allowed;
  return {{"over", one.bench.name},
          {"speedup", reached},
          {"allowed", allowed},
          {"of_allowed", reached / allowed}};
}

}  // namespace

Json compare_layouts(const std::vector<MeasuredLayout>& layouts) {
  const Comparison comparison(layouts);
  Json speedups = Json::object(), sharded = Json::object(), beside = Json::object();
  for (const MeasuredLayout& layout : layouts) {
    if (layout.period <= 0) continue;
    const BenchLayout& bench = layout.bench;
    if (const auto* one = comparison.one_like(layout); one != nullptr && bench.ranks > 1) {
      speedups[bench.name] = speedup(*one, layout);
    }
    if (const auto* whole = comparison.like(layout, false, bench.decoder); whole != nullptr && bench.shard) {
      sharded[bench.name] = {{"whole", whole->bench.name}, {"slower", layout.period / whole->period - 1}};
    }
    const auto* after = comparison.like(layout, bench.shard, BenchDecoder::kAfter);
    if (after != nullptr && bench.decoder == BenchDecoder::kStream) {
      beside[bench.name] = {{"after", after->bench.name}, {"time", layout.period / after->period}};
    }
  }
  return {{"speedup", speedups}, {"sharded_against_whole", sharded}, {"beside_against_after", beside}};
}

}  // namespace latentcast
