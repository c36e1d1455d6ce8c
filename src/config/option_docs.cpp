#include <algorithm>
#include <sstream>

#include "option_table.h"
#include "option_value.h"

#include "latentcast/config/options.h"

namespace latentcast {
namespace {

constexpr size_t kWidth = 100;
constexpr size_t kIndent = 28;

constexpr Group kGroups[] = {Group::kInputs,    Group::kRendering, Group::kWeights,  Group::kVideo,
                             Group::kComputing, Group::kRanks,     Group::kProgress, Group::kTracing};

std::string usage(std::string_view name, std::string_view placeholder) {
  std::string text("--");
  text += name;
  if (!placeholder.empty()) text.append(1, ' ').append(placeholder);
  return text;
}

// `left`, then `right` wrapped into its own column.
void print_entry(std::ostream& out, const std::string& left, const std::string& right) {
  std::string line = "  " + left;
  if (line.size() + 2 > kIndent) {
    out << line << "\n";
    line.clear();
  }
  line.resize(kIndent, ' ');
  std::istringstream words(right);
  for (std::string word; words >> word;) {
    if (line.size() + 1 + word.size() > kWidth) {
      out << line << "\n";
      line.assign(kIndent, ' ');
    }
    if (line.size() > kIndent) line += ' ';
    line += word;
  }
  out << line << "\n";
}

std::string help_with_default(const Option& option) {
  const std::string value = default_text(option);
  std::string text(option.help);
  if (!value.empty() && !option.placeholder.empty()) text += " Default: " + value + ".";
  return text;
}

// In a table's cell | would end the cell and * would begin emphasis.
std::string cell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|' || c == '*' || c == '_') out += '\\';
    out += c;
  }
  return out;
}

std::string code(std::string_view text) {
  std::string out(1, '`');
  for (char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out + "`";
}

std::string_view identity_text(Identity identity) {
  switch (identity) {
    case Identity::kContent:
      return "the same";
    case Identity::kGrows:
      return "may grow";
    case Identity::kRun:
      return "may change";
  }
  return {};
}

void write_row(std::ostream& out, const Option& option) {
  out << "| " << code(usage(option.name, option.placeholder)) << " | " << cell(default_text(option)) << " | "
      << cell(option.help) << " | " << (option.origin == Origin::kPublic ? "public" : "ours") << " | "
      << identity_text(option.identity) << " |\n";
}

}  // namespace

std::string render_help() {
  std::ostringstream out;
  out << "Renders a talking video from a picture, speech and a prompt.\n\n"
         "  latentcast render --ckpt_dir DIR --image FILE --audio FILE --prompt TEXT [options]\n"
         "  latentcast render --config job.yaml [options]\n\n"
         "Names may be written with - or _. A job file has the same names; options on the command line win.\n"
         "\nGeneral\n";
  print_entry(out, "--config FILE", "A job in YAML; its relative paths are relative to its folder.");
  print_entry(out, "--help, -h", "This text.");
  for (Group group : kGroups) {
    out << "\n" << group_title(group) << "\n";
    for (const Option& option : option_table()) {
      if (option.group == group)
        print_entry(out, usage(option.name, option.placeholder), help_with_default(option));
    }
  }
  out << "\nOther options of the public script (accepted; what replaces them)\n";
  for (const PublicOption& option : public_option_table()) {
    print_entry(out, usage(option.name, option.placeholder), std::string(option.instead) + ".");
  }
  return out.str();
}

std::string options_markdown() {
  std::ostringstream out;
  out << "# Options of `latentcast render`\n\n"
         "<!-- Generated from the option table in src/config; a test compares. -->\n\n"
         "Names may be written with - or \\_. With `--config job.yaml` the same names are keys of a YAML "
         "file, where "
         "relative paths are relative to its folder; options on the command line win. The column *origin* "
         "says whether "
         "the option is the public script's or ours, the last one what must hold when a run is continued.\n";
  for (Group group : kGroups) {
    out << "\n## " << group_title(group)
        << "\n\n| option | default | meaning | origin | to continue |\n|---|---|---|---|---|\n";
    for (const Option& option : option_table()) {
      if (option.group == group) write_row(out, option);
    }
  }
  out << "\n## Other options of the public script\n\n"
         "They are accepted; a line says what replaces them. Those marked \\* are refused if their value "
         "asks for something that isn't done "
         "here.\n\n"
         "| option | instead |\n|---|---|\n";
  for (const PublicOption& option : public_option_table()) {
    out << "| " << code(usage(option.name, option.placeholder)) << (option.harmless ? " \\*" : "") << " | "
        << cell(option.instead) << " |\n";
  }
  return out.str();
}

}  // namespace latentcast
