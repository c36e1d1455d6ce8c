#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

namespace latentcast {

/// The document as text, with a last field "sha256" over the text without it.
std::string seal(nlohmann::ordered_json document);

/// The document without its seal. Throws InputError naming `file` if any byte is not as it was written.
nlohmann::ordered_json unseal(const std::string& text, const std::filesystem::path& file);

/// Fields of a sealed document, by `read(document)`. One that is missing or of another kind is an InputError
/// that names `file`.
template <typename Read>
auto read_sealed(const std::string& text, const std::filesystem::path& file, const Read& read);

[[noreturn]] void throw_unknown_fields(const std::filesystem::path& file, const std::string& reason);

template <typename Read>
auto read_sealed(const std::string& text, const std::filesystem::path& file, const Read& read) {
  const nlohmann::ordered_json document = unseal(text, file);
  try {
    return read(document);
  } catch (const nlohmann::json::exception& error) {
    throw_unknown_fields(file, error.what());
  }
}

}  // namespace latentcast
