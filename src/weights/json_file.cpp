#include "weights/json_file.h"

#include "latentcast/error.h"
#include "latentcast/weights/mapped_file.h"

namespace latentcast {

nlohmann::json read_json_object(const std::string& path) {
  constexpr size_t kMaxBytes = 100'000'000;
  constexpr int kMaxDepth = 32;
  const MappedFile file(path);
  if (file.bytes().size() > kMaxBytes)
    throw InputError("'" + path + "' is too large for a JSON file of a checkpoint.");
  const auto check_depth = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > kMaxDepth)
      throw InputError("'" + path + "' nests too deeply for a JSON file of a checkpoint.");
    return true;
  };
  const char* const text = reinterpret_cast<const char*>(file.bytes().data());
  try {
    auto json = nlohmann::json::parse(text, text + file.bytes().size(), check_depth);
    if (!json.is_object()) throw InputError("'" + path + "' isn't a JSON object. Download it again.");
    return json;
  } catch (const nlohmann::json::parse_error& error) {
    throw InputError("'" + path + "' isn't valid JSON (at byte " + std::to_string(error.byte) +
                     "). Download it again, or correct it.");
  }
}

}  // namespace latentcast
