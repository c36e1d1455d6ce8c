#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace latentcast {

/// A JSON file whose root is an object. Throws InputError naming the file if it isn't one, is over 100 MB, or
/// nests deeper than anything that a checkpoint has.
nlohmann::json read_json_object(const std::string& path);

}  // namespace latentcast
