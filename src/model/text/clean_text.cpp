#include "latentcast/model/text/clean_text.h"

#include <cstdlib>
#include <memory>
#include <new>

#include "html_entities.h"
#include "utf8.h"
#include <utf8proc.h>

namespace latentcast {
namespace {

struct Free {
  void operator()(utf8proc_uint8_t* text) const { std::free(text); }
};

// Unicode normalization of `text`; the options say which form.
std::u32string normalize(std::u32string_view text, int options) {
  const std::string utf8 = encode_utf8(text);
  utf8proc_uint8_t* raw = nullptr;
  const auto length = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(utf8.data()), static_cast<utf8proc_ssize_t>(utf8.size()),
      &raw, static_cast<utf8proc_option_t>(options | UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, Free> owner(raw);
  if (length < 0) throw std::bad_alloc();  // the text is valid, so nothing else can fail
  return decode_utf8({reinterpret_cast<const char*>(raw), static_cast<size_t>(length)});
}

std::u32string_view ligature_letters(char32_t c) {
  switch (c) {
    case 0x132:
      return U"IJ";
    case 0x133:
      return U"ij";
    case 0x149:
      return U"\u02BCn";
    case 0x1F1:
      return U"DZ";
    case 0x1F2:
      return U"Dz";
    case 0x1F3:
      return U"dz";
    case 0x1C4:
      return U"D\u017D";
    case 0x1C5:
      return U"D\u017E";
    case 0x1C6:
      return U"d\u017E";
    case 0x1C7:
      return U"LJ";
    case 0x1C8:
      return U"Lj";
    case 0x1C9:
      return U"lj";
    case 0x1CA:
      return U"NJ";
    case 0x1CB:
      return U"Nj";
    case 0x1CC:
      return U"nj";
    case 0xFB00:
      return U"ff";
    case 0xFB01:
      return U"fi";
    case 0xFB02:
      return U"fl";
    case 0xFB03:
      return U"ffi";
    case 0xFB04:
      return U"ffl";
    case 0xFB05:
      return U"\u017Ft";
    case 0xFB06:
      return U"st";
    default:
      return {};
  }
}

char32_t straight_quote(char32_t c) {
  if (c == 0x2BC || (c >= 0x2018 && c <= 0x201B)) return U'\'';
  if (c >= 0x201C && c <= 0x201F) return U'"';
  return c;
}

// Half and full width letters, katakana and hangul take their usual form.
void append_usual_width(std::u32string& out, char32_t c) {
  if (c == 0x3000) {
    out += U' ';
  } else if (c > 0xFF00 && c < 0xFFF0) {
    out += normalize({&c, 1}, UTF8PROC_COMPAT);
  } else {
    out += c;
  }
}

// The changes that look at one character at a time.
std::u32string simplify_characters(std::u32string_view text) {
  std::u32string out;
  for (char32_t c : text) {
    if (c >= 0x80 && c <= 0x9F) c = windows_1252(c);
    if (const auto letters = ligature_letters(c); !letters.empty()) {
      for (char32_t letter : letters) out += straight_quote(letter);
      continue;
    }
    const size_t first = out.size();
    append_usual_width(out, c);
    for (size_t i = first; i < out.size(); ++i) out[i] = straight_quote(out[i]);
  }
  return out;
}

std::u32string unify_line_breaks(std::u32string_view text) {
  std::u32string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c == U'\r' && i + 1 < text.size() && text[i + 1] == U'\n') continue;
    out += c == U'\r' || c == 0x2028 || c == 0x2029 || c == 0x85 ? U'\n' : c;
  }
  return out;
}

// Length of the terminal's colour or cursor command that starts `text`; 0 if none does.
size_t terminal_escape_length(std::u32string_view text) {
  if (!text.starts_with(U"\x1B[")) return 0;
  size_t n = 2;
  while (n < text.size() && (text[n] == U';' || utf8proc_category(static_cast<utf8proc_int32_t>(text[n])) ==
                                                    UTF8PROC_CATEGORY_ND)) {
    ++n;
  }
  const bool closed =
      n < text.size() && ((text[n] >= U'a' && text[n] <= U'z') || (text[n] >= U'A' && text[n] <= U'Z'));
  return closed ? n + 1 : 0;
}

std::u32string remove_terminal_escapes(std::u32string_view text) {
  std::u32string out;
  for (size_t at = 0; at < text.size();) {
    if (const size_t length = terminal_escape_length(text.substr(at))) {
      at += length;
    } else {
      out += text[at++];
    }
  }
  return out;
}

bool is_unwanted_control(char32_t c) {
  return c <= 0x08 || c == 0x0B || (c >= 0x0E && c < 0x20) || c == 0x7F || (c >= 0x206A && c <= 0x206F) ||
         c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFC);
}

// One line; the steps repeat until none changes anything.
std::u32string fix_line(std::u32string text, const HtmlEntities& entities, bool unescape) {
  for (;;) {
    std::u32string fixed = unescape ? entities.unescape_certain(text) : text;
    fixed = remove_terminal_escapes(unify_line_breaks(simplify_characters(fixed)));
    std::erase_if(fixed, is_unwanted_control);
    fixed = normalize(fixed, 0);
    if (fixed == text) return fixed;
    text = std::move(fixed);
  }
}

// From the first line with a '<' on the text is taken to be HTML, whose references are left alone at this
// step.
std::u32string fix_text(const std::u32string& text, const HtmlEntities& entities) {
  std::u32string out;
  bool unescape = true;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(U'\n', start), text.size() - 1) + 1;
    std::u32string line = text.substr(start, end - start);
    unescape = unescape && line.find(U'<') == std::u32string::npos;
    out += fix_line(std::move(line), entities, unescape);
    start = end;
  }
  return out;
}

std::u32string collapse_white_space(std::u32string_view text) {
  std::u32string out;
  for (char32_t c : text) {
    if (!is_white_space(c)) {
      out += c;
    } else if (!out.empty() && out.back() != U' ') {
      out += U' ';
    }
  }
  if (out.ends_with(U' ')) out.pop_back();
  return out;
}

}  // namespace

std::string clean_prompt(std::string_view utf8) {
  const HtmlEntities entities;
  std::u32string text = fix_text(decode_utf8(utf8), entities);
  text = entities.unescape(entities.unescape(text));
  return encode_utf8(collapse_white_space(text));
}

}  // namespace latentcast
