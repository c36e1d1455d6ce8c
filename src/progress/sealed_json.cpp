#include "sealed_json.h"

#include "latentcast/error.h"
#include "latentcast/progress/checksum.h"

namespace latentcast {
namespace {

using Json = nlohmann::ordered_json;

// Names may hold bytes that are no UTF-8.
std::string dump(const Json& document) {
  return document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string seal(Json document) {
  const std::string seal = sha256(dump(document));
  document["sha256"] = seal;
  return dump(document) + "\n";
}

Json unseal(const std::string& text, const std::filesystem::path& file) {
  Json document = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (document.is_object()) {
    document.erase("sha256");
    if (seal(document) == text) {
      return document;
    }
  }
  throw InputError(file.string() + " is damaged (its checksum doesn't fit)");
}

void throw_unknown_fields(const std::filesystem::path& file, const std::string& reason) {
  throw InputError(file.string() + " is of another version of latentcast (" + reason + ")");
}

}  // namespace latentcast
