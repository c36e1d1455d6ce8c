#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "option_table.h"

#include "latentcast/config/render_job.h"

namespace latentcast {

/// The whole text as a number; nothing if it is none, or not finite.
std::optional<double> parse_number(std::string_view text);

/// The public script's ways to say yes and no; nothing if it is neither.
std::optional<bool> parse_bool(std::string_view text);

/// Sets the option's field from text. Relative paths are taken relative to `folder` if that isn't empty.
/// Throws InputError saying what was expected (the caller puts the option's name in front).
void set_value(const Option& option, RenderJob& job, const std::string& text,
               const std::filesystem::path& folder);

/// Sets a list of files one by one.
void set_files(std::vector<std::filesystem::path>& field, const std::vector<std::string>& names,
               const std::filesystem::path& folder);

/// The option's value as text, lists joined by +; nothing if there is none. Enums and flags by name.
std::optional<std::string> value_text(const Option& option, const RenderJob& job);

/// The default as people read it.
std::string default_text(const Option& option);

/// The line about a public option that was given with this value, empty if there is nothing to say; `shown`
/// is its name as it was given. Throws InputError if the value asks for something that isn't done here.
std::string public_option_notice(const PublicOption& option, const std::string& value,
                                 const std::string& shown);

}  // namespace latentcast
