#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include <nlohmann/json.hpp>

namespace latentcast {

inline std::filesystem::path test_data() {
  const char* folder = std::getenv("LATENTCAST_TEST_DATA");
  if (!folder) throw std::runtime_error("LATENTCAST_TEST_DATA is not set; run the tests through ctest");
  return folder;
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  return nlohmann::json::parse(in);
}

}  // namespace latentcast
