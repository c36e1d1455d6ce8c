#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "option_table.h"
#include "option_value.h"
#include "yaml_job.h"
#include <CLI/CLI.hpp>

#include "latentcast/config/options.h"
#include "latentcast/error.h"

namespace latentcast {
namespace {

// Names may be written with - or _, so they all get _. Values stay as they are; "--name=" means an empty one.
std::vector<std::string> canonical_args(int argc, const char* const* argv) {
  std::vector<std::string> args;
  for (int i = 1; i < argc; ++i) {
    std::string arg = argv[i];
    if (!arg.starts_with("--")) {
      args.push_back(std::move(arg));
      continue;
    }
    const size_t end = std::min(arg.find('='), arg.size());
    std::replace(arg.begin() + 2, arg.begin() + static_cast<std::ptrdiff_t>(end), '-', '_');
    const bool empty_value = end + 1 == arg.size() && end > 2;
    args.push_back(empty_value ? arg.substr(0, end) : std::move(arg));
    if (empty_value) args.emplace_back();
  }
  return args;
}

[[noreturn]] void refuse_unknown(const std::string& arg) {
  if (!arg.starts_with("-")) {
    throw InputError("Unexpected argument '" + arg +
                     "': every value needs its option's name before it (see --help). "
                     "A value with spaces must be quoted.");
  }
  const std::string name = arg.substr(0, arg.find('='));
  const size_t dashes = std::min(name.find_first_not_of('-'), name.size());
  throw InputError("Unknown option " + name + suggestion(name.substr(dashes), "--") +
                   " See --help for all options.");
}

// What the command line says, name by name, not yet understood.
struct RawArgs {
  std::map<std::string, std::string, std::less<>> values;
  std::string config;
  bool help = false;
};

RawArgs read_args(int argc, const char* const* argv) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  RawArgs raw;
  std::map<std::string, std::string, std::less<>> slots;
  const auto add = [&](std::string_view name, bool is_flag) {
    std::string& slot = slots[std::string(name)];
    const std::string flag = "--" + std::string(name);
    is_flag ? app.add_flag(flag, slot) : app.add_option(flag, slot);
  };
  for (const Option& option : option_table()) add(option.name, option.placeholder.empty());
  for (const PublicOption& option : public_option_table()) add(option.name, option.placeholder.empty());
  app.add_option("--config", raw.config);
  app.add_flag("--help,-h", raw.help);

  std::vector<std::string> args = canonical_args(argc, argv);
  std::reverse(args.begin(), args.end());  // as CLI11 wants them
  try {
    app.parse(args);
  } catch (const CLI::ParseError& error) {
    throw InputError(std::string(error.what()) +
                     ". See --help; a value that begins with - is written --name=value.");
  }
  if (const auto extras = app.remaining(); !raw.help && !extras.empty()) refuse_unknown(extras.front());
  for (const auto& [name, value] : slots) {
    if (app.get_option("--" + name)->count() > 0) raw.values[name] = value;
  }
  return raw;
}

// Runs `apply`; what it refuses is said with the option's name in front.
template <typename Apply>
void with_name(std::string_view name, Apply apply) {
  try {
    apply();
  } catch (const InputError& error) {
    throw InputError("--" + std::string(name) + ": " + error.what());
  }
}

void apply_flags(const RawArgs& raw, ParsedArgs& parsed) {
  RenderJob& job = parsed.job;
  for (const Option& option : option_table()) {
    const auto given = raw.values.find(option.name);
    if (given == raw.values.end()) continue;
    with_name(option.name, [&] { set_value(option, job, given->second, {}); });
  }
  for (const PublicOption& option : public_option_table()) {
    const auto given = raw.values.find(option.name);
    if (given == raw.values.end()) continue;
    with_name(option.name, [&] {
      std::string notice = public_option_notice(option, given->second, "--" + std::string(option.name));
      if (!notice.empty()) parsed.notices.push_back(std::move(notice));
    });
  }
  const auto online = raw.values.find("enable_online_decode");
  if (online != raw.values.end() && parse_bool(online->second).value_or(false)) {
    if (raw.values.contains("decode") && job.decode != DecodeMode::kOnline) {
      throw InputError("--enable_online_decode and --decode batch contradict each other. Leave one out.");
    }
    job.decode = DecodeMode::kOnline;
  }
}

}  // namespace

ParsedArgs parse_render_args(int argc, const char* const* argv) {
  const RawArgs raw = read_args(argc, argv);
  ParsedArgs parsed;
  parsed.help = raw.help;
  if (raw.help) return parsed;
  if (!raw.config.empty()) {
    read_yaml(raw.config, parsed.job, parsed.notices);
    // A prompt by flag replaces the file's prompt, however each of them is given.
    if (raw.values.contains("prompt")) parsed.job.prompt_file.clear();
    if (raw.values.contains("prompt_file")) parsed.job.prompt.reset();
  }
  apply_flags(raw, parsed);
  const RenderJob unset;
  for (const Option& option : option_table()) {
    if (option.notice.empty() || value_text(option, parsed.job) == value_text(option, unset)) continue;
    parsed.notices.push_back("--" + std::string(option.name) + " is ignored: " + std::string(option.notice));
  }
  return parsed;
}

}  // namespace latentcast
