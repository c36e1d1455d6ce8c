#include "layer_cut.h"

#include <algorithm>
#include <limits>

namespace latentcast {
namespace {

// Costs are sums of floats: what differs by less is the same.
constexpr double kSame = 1e-9;

/// The best cuts of the first n units into p ranges, for all n, p by p.
class CutTable {
 public:
  CutTable(const std::vector<double>& costs, int64_t parts, double last)
      : units_(costs.size()), parts_(static_cast<size_t>(parts)), last_(last), sums_(units_ + 1, 0.0) {
    for (size_t i = 0; i < units_; ++i) sums_[i + 1] = sums_[i] + costs[i];
  }

  /// Smallest possible cost of the dearest range.
  double least_dearest() {
    const auto dearer = [](double before, double range) { return std::max(before, range); };
    return fill(dearer, std::numeric_limits<double>::infinity());
  }

  /// The most even cut whose ranges cost no more than `most`.
  std::vector<Range> most_even(double most) {
    fill([](double before, double range) { return before + range * range; }, most);
    std::vector<Range> ranges(parts_);
    size_t end = units_;
    for (size_t part = parts_; part-- > 0;) {
      const size_t begin = begin_[part][end];
      ranges[part] = {static_cast<int64_t>(begin), static_cast<int64_t>(end)};
      end = begin;
    }
    return ranges;
  }

 private:
  double range_cost(size_t part, size_t begin, size_t end) const {
    return sums_[end] - sums_[begin] + (part + 1 == parts_ ? last_ : 0.0);
  }

  template <typename Join>
  double fill(Join join, double most) {
    constexpr double kNone = std::numeric_limits<double>::infinity();
    std::vector<double> before(units_ + 1, kNone);
    before[0] = 0;
    begin_.assign(parts_, std::vector<size_t>(units_ + 1, 0));
    for (size_t part = 0; part < parts_; ++part) {
      std::vector<double> best(units_ + 1, kNone);
      for (size_t end = part + 1; end <= units_; ++end) {
        for (size_t begin = part; begin < end; ++begin) {
          const double range = range_cost(part, begin, end);
          if (before[begin] == kNone || range > most + kSame) continue;
          const double cost = join(before[begin], range);
          // A later begin leaves more to the ranges in front.
          if (cost <= best[end] + kSame) {
            best[end] = std::min(cost, best[end]);
            begin_[part][end] = begin;
          }
        }
      }
      before = std::move(best);
    }
    return before[units_];
  }

  size_t units_, parts_;
  double last_;
  std::vector<double> sums_;                // of the first n costs
  std::vector<std::vector<size_t>> begin_;  // [part][end]
};

}  // namespace

std::vector<Range> cut_evenly(int64_t units, int64_t parts) {
  std::vector<Range> ranges;
  for (int64_t i = 0, begin = 0; i < parts; ++i) {
    const int64_t size = units / parts + (i < units % parts ? 1 : 0);
    ranges.push_back({begin, begin + size});
    begin += size;
  }
  return ranges;
}

std::vector<Range> cut_balanced(const std::vector<double>& costs, int64_t parts, double last) {
  CutTable table(costs, parts, last);
  return table.most_even(table.least_dearest());
}

}  // namespace latentcast
