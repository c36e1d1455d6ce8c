#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace latentcast {

/// Makes damaged archives out of good ones: bytes and lengths anywhere, and, so that the damage is found deep
/// inside, JSON numbers under a header length that is right again, and pickles in a zip that is built anew
/// around them. The same seed gives the same inputs.
class ArchiveMutator {
 public:
  ArchiveMutator(std::vector<std::string> corpus, uint64_t seed);

  std::string next();

 private:
  using Records = std::vector<std::pair<std::string, std::string>>;

  size_t below(size_t bound);
  bool chance(size_t one_in) { return below(one_in) == 0; }
  const std::string& any_file() { return corpus_[below(corpus_.size())]; }

  void mutate_bytes(std::string& bytes);
  void overwrite_integer(std::string& bytes);
  void mutate_json_header(std::string& file);
  void mutate_pickle(std::string& pickle);
  void mutate_records(Records& records);
  std::string build_zip(const Records& records);

  std::vector<std::string> corpus_;
  std::vector<Records> zips_;
  std::vector<std::string> headers_;  // files with a JSON header
  std::mt19937_64 random_;
};

}  // namespace latentcast
