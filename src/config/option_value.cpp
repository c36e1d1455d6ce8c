#include "option_value.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

template <typename T>
std::optional<T> parse_whole(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

[[noreturn]] void refuse(const std::string& expected, const std::string& text) {
  throw InputError("expected " + expected + ", got '" + text + "'");
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

fs::path resolve(const std::string& text, const fs::path& folder) {
  if (text.empty()) throw InputError("expected a file or folder, got nothing");
  const fs::path path(text);
  return folder.empty() || path.is_absolute() || text == kPublicLora ? path : folder / path;
}

std::vector<std::string> choices(const Option& option) {
  if (option.placeholder.find('|') == std::string_view::npos) return {};
  return split(option.placeholder, '|');
}

size_t choice(const Option& option, const std::string& text) {
  const auto names = choices(option);
  const auto found = std::find(names.begin(), names.end(), text);
  if (found == names.end()) refuse("one of " + std::string(option.placeholder), text);
  return static_cast<size_t>(found - names.begin());
}

int whole(const std::string& text) {
  const auto value = parse_whole<int>(text);
  if (!value) refuse("a whole number", text);
  return *value;
}

double number(const std::string& text) {
  const auto value = parse_number(text);
  if (!value) refuse("a number", text);
  return *value;
}

// One overload a type of field.
struct Setter {
  const Option& option;
  const std::string& text;
  const fs::path& folder;

  void operator()(bool& field) const {
    const auto value = parse_bool(text);
    if (!value) refuse("true or false", text);
    field = *value;
  }
  void operator()(int& field) const { field = whole(text); }
  void operator()(double& field) const { field = number(text); }
  void operator()(std::optional<int>& field) const { field = whole(text); }
  void operator()(std::optional<double>& field) const { field = number(text); }
  void operator()(std::optional<std::string>& field) const { field = text; }
  void operator()(fs::path& field) const { field = resolve(text, folder); }
  void operator()(std::string& field) const {
    if (!choices(option).empty()) choice(option, text);
    field = text;
  }
  void operator()(std::optional<uint64_t>& field) const {
    field = parse_whole<uint64_t>(text);
    if (!field && text != "-1") refuse("a whole number from 0 up, or -1 to draw one", text);
  }
  void operator()(std::vector<fs::path>& field) const {
    // A file whose name has a + in it is taken as it is.
    std::error_code ignored;
    const bool one_file = !text.empty() && fs::is_regular_file(resolve(text, folder), ignored);
    set_files(field, one_file ? std::vector<std::string>{text} : split(text, '+'), folder);
  }
  void operator()(DecodeMode& field) const { field = static_cast<DecodeMode>(choice(option, text)); }
  void operator()(FirstFrames& field) const { field = static_cast<FirstFrames>(choice(option, text)); }
};

std::string number_text(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

struct Reader {
  using Text = std::optional<std::string>;
  const Option& option;

  Text operator()(bool value) const { return value ? "true" : "false"; }
  Text operator()(int value) const { return std::to_string(value); }
  Text operator()(uint64_t value) const { return std::to_string(value); }
  Text operator()(double value) const { return number_text(value); }
  Text operator()(const std::string& value) const { return value; }
  Text operator()(const fs::path& value) const { return value.empty() ? Text{} : Text{value.string()}; }
  Text operator()(DecodeMode value) const { return choices(option).at(static_cast<size_t>(value)); }
  Text operator()(FirstFrames value) const { return choices(option).at(static_cast<size_t>(value)); }
  Text operator()(const std::vector<fs::path>& value) const {
    std::string text;
    for (const fs::path& path : value) {
      if (!text.empty()) text += '+';
      text += path.string();
    }
    return value.empty() ? Text{} : Text{text};
  }
  template <typename T>
  Text operator()(const std::optional<T>& value) const {
    return value ? (*this)(*value) : Text{};
  }
};

}  // namespace

std::optional<double> parse_number(std::string_view text) {
  const auto value = parse_whole<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::optional<bool> parse_bool(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* yes : {"true", "yes", "on", "t", "y", "1"}) {
    if (lower == yes) return true;
  }
  for (const char* no : {"false", "no", "off", "f", "n", "0"}) {
    if (lower == no) return false;
  }
  return std::nullopt;
}

void set_value(const Option& option, RenderJob& job, const std::string& text, const fs::path& folder) {
  std::visit([&](auto member) { Setter{option, text, folder}(job.*member); }, option.field);
}

void set_files(std::vector<fs::path>& field, const std::vector<std::string>& names, const fs::path& folder) {
  std::vector<fs::path> files;
  for (const std::string& name : names) files.push_back(resolve(name, folder));
  field = std::move(files);
}

std::optional<std::string> value_text(const Option& option, const RenderJob& job) {
  return std::visit([&](auto member) { return Reader{option}(job.*member); }, option.field);
}

std::string default_text(const Option& option) {
  if (!option.default_note.empty()) return std::string(option.default_note);
  const auto text = value_text(option, RenderJob{});
  if (option.placeholder.empty()) return text == "true" ? "on" : "off";
  return text.value_or("");
}

std::string public_option_notice(const PublicOption& option, const std::string& value,
                                 const std::string& shown) {
  std::string given = value;
  if (option.placeholder.empty()) {
    const auto flag = parse_bool(value);
    if (!flag) refuse("true or false", value);
    given = *flag ? "true" : "false";
  }
  if (option.harmless && !option.harmless(given)) {
    throw InputError((option.placeholder.empty() ? std::string() : "'" + value + "' ") +
                     "is not supported; " + std::string(option.instead) + ". Leave the option out.");
  }
  return option.obeyed ? std::string() : shown + " is ignored: " + std::string(option.instead);
}

}  // namespace latentcast
