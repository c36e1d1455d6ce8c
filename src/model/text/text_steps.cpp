#include "text_steps.h"

#include <functional>
#include <memory>
#include <utility>

#include "charsmap.h"
#include "utf8.h"
#include <nlohmann/json.hpp>

#include "latentcast/error.h"

namespace latentcast {

using nlohmann::json;

struct TextSteps::Normalizer {
  std::function<std::string(std::string_view)> apply;
};

struct TextSteps::Splitter {
  std::function<std::vector<std::string>(const std::string&, bool)> apply;
};

namespace {

// Replaces runs of `from`, or each occurrence.
std::string replace(std::string_view text, std::string_view from, std::string_view to, size_t shortest_run) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t count = 0;
    while (text.substr(at + count * from.size()).starts_with(from)) ++count;
    if (count < shortest_run || count == 0) {
      const size_t length = count == 0 ? 1 : count * from.size();
      out += text.substr(at, length);
      at += length;
      continue;
    }
    for (size_t i = 0; i < (shortest_run > 1 ? 1 : count); ++i) out += to;
    at += count * from.size();
  }
  return out;
}

std::string strip(std::string_view text, bool left, bool right) {
  std::u32string characters = decode_utf8(text);
  if (right) {
    while (!characters.empty() && is_white_space(characters.back())) characters.pop_back();
  }
  size_t first = 0;
  while (left && first < characters.size() && is_white_space(characters[first])) ++first;
  return encode_utf8(std::u32string_view(characters).substr(first));
}

TextSteps::Normalizer make_replace(const json& spec) {
  const std::string to = spec.at("content").get<std::string>();
  const json& pattern = spec.at("pattern");
  std::string from;
  size_t shortest_run = 1;
  if (pattern.contains("String")) {
    from = pattern.at("String").get<std::string>();
  } else if (pattern.at("Regex").get<std::string>() == " {2,}") {
    from.assign(1, ' ');
    shortest_run = 2;
  } else {
    throw InputError("its normalizer replaces by the regular expression '" +
                     pattern.at("Regex").get<std::string>() + "', which is not supported");
  }
  if (from.empty()) throw InputError("its normalizer replaces an empty text");
  return {[=](std::string_view text) { return replace(text, from, to, shortest_run); }};
}

void add_normalizers(const json& spec, std::vector<TextSteps::Normalizer>& out) {
  if (spec.is_null()) return;
  const std::string type = spec.at("type").get<std::string>();
  if (type == "Sequence") {
    for (const json& step : spec.at("normalizers")) add_normalizers(step, out);
  } else if (type == "Precompiled") {
    const auto map = std::make_shared<const Charsmap>(spec.at("precompiled_charsmap").get<std::string>());
    out.push_back({[map](std::string_view text) { return map->apply(text); }});
  } else if (type == "Strip") {
    const bool left = spec.at("strip_left").get<bool>(), right = spec.at("strip_right").get<bool>();
    out.push_back({[=](std::string_view text) { return strip(text, left, right); }});
  } else if (type == "Replace") {
    out.push_back(make_replace(spec));
  } else {
    throw InputError("its normalizer '" + type + "' is not supported");
  }
}

enum class Prepend { kAlways, kFirst, kNever };

Prepend prepend_scheme(const json& spec) {
  const std::string scheme =
      spec.value("prepend_scheme", spec.value("add_prefix_space", true) ? "always" : "never");
  if (scheme == "always") return Prepend::kAlways;
  if (scheme == "first") return Prepend::kFirst;
  if (scheme == "never") return Prepend::kNever;
  throw InputError("its pre_tokenizer has the unknown prepend_scheme '" + scheme + "'");
}

// Spaces become `mark`, one is put in front, and a new word begins at each.
std::vector<std::string> split_at_mark(const std::string& text, const std::string& mark, bool prepend,
                                       bool split) {
  std::string marked = replace(text, " ", mark, 1);
  if (marked.empty()) return {};
  if (prepend && !marked.starts_with(mark)) marked.insert(0, mark);
  if (!split) return {marked};
  std::vector<std::string> words;
  for (size_t start = 0; start < marked.size();) {
    const size_t next =
        marked.find(mark, start + (marked.compare(start, mark.size(), mark) == 0 ? mark.size() : 0));
    words.push_back(marked.substr(start, next - start));
    if (next == std::string::npos) break;
    start = next;
  }
  return words;
}

std::vector<std::string> split_at_white_space(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  for (char32_t c : decode_utf8(text)) {
    if (!is_white_space(c)) {
      append_utf8(word, c);
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  if (!word.empty()) words.push_back(word);
  return words;
}

void add_splitters(const json& spec, std::vector<TextSteps::Splitter>& out) {
  if (spec.is_null()) return;
  const std::string type = spec.at("type").get<std::string>();
  if (type == "Sequence") {
    for (const json& step : spec.at("pretokenizers")) add_splitters(step, out);
  } else if (type == "WhitespaceSplit") {
    out.push_back({[](const std::string& text, bool) { return split_at_white_space(text); }});
  } else if (type == "Metaspace") {
    const std::string mark = spec.at("replacement").get<std::string>();
    if (mark.empty()) throw InputError("its pre_tokenizer replaces spaces by nothing");
    const Prepend scheme = prepend_scheme(spec);
    const bool split = spec.value("split", true);
    out.push_back({[=](const std::string& text, bool at_start) {
      const bool prepend = scheme == Prepend::kAlways || (scheme == Prepend::kFirst && at_start);
      return split_at_mark(text, mark, prepend, split);
    }});
  } else {
    throw InputError("its pre_tokenizer '" + type + "' is not supported");
  }
}

}  // namespace

TextSteps::TextSteps(const json& normalizer, const json& pre_tokenizer) {
  add_normalizers(normalizer, normalizers_);
  add_splitters(pre_tokenizer, splitters_);
}

TextSteps::~TextSteps() = default;
TextSteps::TextSteps(TextSteps&&) noexcept = default;
TextSteps& TextSteps::operator=(TextSteps&&) noexcept = default;

std::string TextSteps::normalize(std::string_view text) const {
  std::string out(text);
  for (const Normalizer& step : normalizers_) out = step.apply(out);
  return out;
}

std::vector<std::string> TextSteps::words(const std::string& normalized, bool at_start) const {
  std::vector<std::string> words;
  if (!normalized.empty()) words.push_back(normalized);
  for (const Splitter& step : splitters_) {
    std::vector<std::string> next;
    for (size_t i = 0; i < words.size(); ++i) {
      for (std::string& word : step.apply(words[i], at_start && i == 0)) next.push_back(std::move(word));
    }
    words = std::move(next);
  }
  return words;
}

}  // namespace latentcast
