#include <iterator>
#include <set>
#include <sstream>

#include "config_test_support.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace latentcast {
namespace {

using testing::HasSubstr;

// Names that the text has at the start of an entry.
std::set<std::string> names_in_help() {
  std::istringstream help(render_help());
  std::set<std::string> names;
  for (std::string line; std::getline(help, line);) {
    if (!line.starts_with("  --")) continue;
    const size_t end = line.find_first_of(" ,", 4);
    names.insert(line.substr(4, end - 4));
  }
  return names;
}

TEST(Help, HasEveryFieldOfTheJob) {
  const std::set<std::string> names = names_in_help();
  std::istringstream yaml(to_yaml(RenderJob{}));
  for (std::string line; std::getline(yaml, line);) {
    if (line.starts_with('#')) continue;
    EXPECT_TRUE(names.contains(line.substr(0, line.find(':')))) << line;
  }
  for (const char* name : {"config", "help", "prompt", "num_clip", "masks", "ulysses_size", "enable_tts"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

TEST(Help, EveryOptionInItIsKnown) {
  for (const std::string& name : names_in_help()) {
    EXPECT_THAT(parse_refusal({"--" + name, "1"}), Not(HasSubstr("Unknown option"))) << name;
  }
}

TEST(Help, FitsATerminalAndNamesDefaults) {
  std::istringstream help(render_help());
  for (std::string line; std::getline(help, line);) EXPECT_LE(line.size(), 100u) << line;
  EXPECT_THAT(render_help(), HasSubstr("Default: 688*368."));
  EXPECT_THAT(render_help(), HasSubstr("Default: as many as the sound needs."));
}

// LATENTCAST_WRITE_DOCS=1 in the environment writes the page instead.
TEST(OptionsPage, IsWhatTheTableSays) {
  const std::filesystem::path page = test_data() / "../../docs/options.md";
  if (std::getenv("LATENTCAST_WRITE_DOCS")) std::ofstream(page) << options_markdown();
  std::ifstream in(page);
  const std::string written(std::istreambuf_iterator<char>(in), {});
  EXPECT_EQ(written, options_markdown()) << "docs/options.md is out of date: run this test once with "
                                            "LATENTCAST_WRITE_DOCS=1 in the environment";
}

}  // namespace
}  // namespace latentcast
