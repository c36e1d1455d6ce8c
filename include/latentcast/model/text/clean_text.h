#pragma once

#include <string>
#include <string_view>

namespace latentcast {

/// A prompt as the model was trained to see it: HTML entities resolved, quotes straight, ligatures and
/// full-width forms taken apart, control characters and terminal escapes removed, NFC, every run of white
/// space one space, none at the ends. Follows ftfy.fix_text and two rounds of html.unescape, but for the
/// repair of mojibake, which is left out: text that was decoded with the wrong character set stays as it is.
/// Throws InputError if the text is not UTF-8.
std::string clean_prompt(std::string_view utf8);

}  // namespace latentcast
