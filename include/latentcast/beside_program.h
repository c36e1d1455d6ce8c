#pragma once

#include <filesystem>
#include <string>
#include <system_error>

namespace latentcast {

/// Where a library that is loaded at run time lies: beside the program if it is there, else its bare name,
/// for which the system looks.
inline std::string beside_program(const std::string& library) {
  std::error_code error;
  const std::filesystem::path beside =
      std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / library;
  return !error && std::filesystem::exists(beside, error) ? beside.string() : library;
}

}  // namespace latentcast
