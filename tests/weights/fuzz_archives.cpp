// Feeds damaged archives to both readers. Anything but a result or an InputError is a finding: a crash, what
// the sanitizers see, another exception, a large allocation. Built with gcc it brings its own loop; with
// clang's -fsanitize=fuzzer and -DLATENTCAST_LIBFUZZER only LLVMFuzzerTestOneInput is used.
//
//   fuzz_archives [--seconds 60] [--seed 1] [--runs N]     mutations of the files in tests/data/weights
//   fuzz_archives FILE...                                  these files as they are (to look into a finding)

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "weights/archive_mutator.h"
#include <sanitizer/common_interface_defs.h>

#include "latentcast/error.h"
#include "latentcast/weights/safetensors.h"
#include "latentcast/weights/torch_archive.h"

namespace {

using latentcast::InputError;
using latentcast::TensorArchive;

/// What is being tried, for the report when it ends badly.
struct Attempt {
  std::string input;
  uint64_t seed = 0;
  uint64_t run = 0;
};
Attempt& attempt() {
  static Attempt current;
  return current;
}

void report_finding() {
  constexpr const char* kFile = "fuzz-finding.bin";
  std::ofstream(kFile, std::ios::binary) << attempt().input;
  std::fprintf(stderr, "FINDING at seed %llu, run %llu; the input is in %s\n",
               static_cast<unsigned long long>(attempt().seed),
               static_cast<unsigned long long>(attempt().run), kFile);
}

/// What every accepted tensor promises: as many bytes as its shape says, at most 2^63 numbers, all readable.
uint64_t touch(const TensorArchive& archive) {
  uint64_t sum = 0;
  for (const std::string& name : archive.names()) {
    const latentcast::TensorView& view = *archive.find(name);
    long double count = 1;
    long double largest = 1;
    for (const int64_t size : view.shape) {
      count *= static_cast<long double>(size);
      largest *= static_cast<long double>(std::max<int64_t>(size, 1));
      if (size < 0) throw std::logic_error("a negative size");
    }
    const long double bytes = count * static_cast<long double>(latentcast::dtype_size(view.dtype));
    if (bytes != static_cast<long double>(view.bytes.size()))
      throw std::logic_error("bytes and shape don't agree");
    if (largest >= 0x1p63L) throw std::logic_error("a shape that overflows");
    for (const std::byte byte : view.bytes) sum += std::to_integer<uint64_t>(byte);
  }
  return sum;
}

struct Outcome {
  bool accepted = false;
  std::string refusal;
};

template <typename Parse>
Outcome outcome_of(Parse parse, std::span<const std::byte> input) {
  try {
    volatile uint64_t sum = touch(parse(input, "input"));
    (void)sum;
    return {true, ""};
  } catch (const InputError& error) {
    return {false, error.what()};
  } catch (const std::exception& error) {
    std::fprintf(stderr, "an exception that isn't an InputError: %s\n", error.what());
    std::abort();  // reported by way of the sanitizer
  }
}

/// How far the fuzzing got: messages without names and numbers, which differ from input to input. A quotation
/// mark between letters is an apostrophe.
std::string reason(const std::string& message) {
  const auto letter = [&](size_t i) {
    return i < message.size() && std::isalpha(static_cast<unsigned char>(message[i]));
  };
  std::string text;
  bool quoted = false;
  for (size_t i = 0; i < message.size(); ++i) {
    const char c = message[i];
    const bool mark = c == '\'' && !(letter(i + 1) && i > 0 && letter(i - 1) && !quoted);
    if (mark && (!quoted || !letter(i + 1))) quoted = !quoted;
    if (!quoted && std::isdigit(static_cast<unsigned char>(c)) == 0) text += c;
  }
  return text;
}

}  // namespace

extern "C" const char* __asan_default_options() {
  return "handle_abort=1:allocation_size_may_return_null=0:max_allocation_size_mb=256:"
         "hard_rss_limit_mb=2048:quarantine_size_mb=32";
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A copy of exactly this size, so that reading past its end is seen.
  const std::vector<std::byte> input(reinterpret_cast<const std::byte*>(data),
                                     reinterpret_cast<const std::byte*>(data) + size);
  outcome_of(latentcast::parse_safetensors, input);
  outcome_of(latentcast::parse_torch_archive, input);
  return 0;
}

#ifndef LATENTCAST_LIBFUZZER
namespace {

struct Options {
  uint64_t seconds = 60;
  uint64_t seed = 1;
  uint64_t runs = UINT64_MAX;
  std::vector<std::string> files;
};

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const bool number = i + 1 < argc && (name == "--seconds" || name == "--seed" || name == "--runs");
    if (!number) {
      options.files.push_back(name);
      continue;
    }
    const uint64_t value = std::strtoull(argv[++i], nullptr, 10);
    (name == "--seconds" ? options.seconds : name == "--seed" ? options.seed : options.runs) = value;
  }
  return options;
}

std::string content(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<std::string> read_corpus() {
  const char* const root = std::getenv("LATENTCAST_TEST_DATA");
  std::set<std::filesystem::path> paths;  // in the same order everywhere
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(root == nullptr ? "tests/data" : root) + "/weights")) {
    const auto extension = entry.path().extension();
    if (extension == ".pth" || extension == ".safetensors") paths.insert(entry.path());
  }
  std::vector<std::string> corpus;
  for (const auto& path : paths) corpus.push_back(content(path));
  return corpus;
}

struct Tally {
  uint64_t safetensors = 0;
  uint64_t torch = 0;
  std::set<std::string> refusals;
};

void run_once(Tally& tally) {
  const std::string& input = attempt().input;
  const std::vector<char> exact(input.begin(), input.end());
  const auto bytes = std::as_bytes(std::span(exact));
  const Outcome first = outcome_of(latentcast::parse_safetensors, bytes);
  const Outcome second = outcome_of(latentcast::parse_torch_archive, bytes);
  tally.safetensors += first.accepted ? 1 : 0;
  tally.torch += second.accepted ? 1 : 0;
  if (!first.accepted) tally.refusals.insert(reason(first.refusal));
  if (!second.accepted) tally.refusals.insert(reason(second.refusal));
}

int fuzz(const Options& options) {
  const std::vector<std::string> corpus = read_corpus();
  if (corpus.size() < 10) {
    std::fprintf(stderr, "no files to start from in tests/data/weights (LATENTCAST_TEST_DATA)\n");
    return 1;
  }
  std::printf("seed %llu, %zu files\n", static_cast<unsigned long long>(options.seed), corpus.size());
  std::fflush(stdout);
  latentcast::ArchiveMutator mutator(corpus, options.seed);
  Tally tally;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(options.seconds);
  attempt().seed = options.seed;
  for (; attempt().run < options.runs && std::chrono::steady_clock::now() < end; ++attempt().run) {
    attempt().input = mutator.next();
    run_once(tally);
  }
  std::printf("%llu inputs: %llu accepted as safetensors, %llu as torch archives, %zu reasons of refusal\n",
              static_cast<unsigned long long>(attempt().run),
              static_cast<unsigned long long>(tally.safetensors),
              static_cast<unsigned long long>(tally.torch), tally.refusals.size());
  // Mutations that all fail at the first byte, or change nothing, would prove nothing.
  const bool deep = tally.safetensors > 0 && tally.torch > 0 && tally.refusals.size() >= 20;
  if (!deep) std::fprintf(stderr, "the mutations don't reach far enough into the readers\n");
  return deep ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  __sanitizer_set_death_callback(report_finding);
  const Options options = parse_options(argc, argv);
  if (options.files.empty()) return fuzz(options);
  for (const std::string& file : options.files) {
    attempt().input = content(file);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(attempt().input.data()), attempt().input.size());
    std::printf("%s: no finding\n", file.c_str());
  }
  return 0;
}
#endif
