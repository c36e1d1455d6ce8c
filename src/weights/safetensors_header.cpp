#include "weights/safetensors_header.h"

#include <limits>
#include <utility>

#include "weights/tensor_layout.h"
#include <nlohmann/json.hpp>

#include "latentcast/error.h"

namespace latentcast {
namespace {

/// Walks the one shape that a header may have, so nothing else is ever stored:
/// {"__metadata__": {key: string}, tensor: {"dtype": string, "shape": [sizes], "data_offsets": [begin, end]}}
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::string& file) : file_(file) {}
  std::vector<SafetensorsEntry> take_entries() { return std::move(entries_); }

  bool null() override { return unexpected(); }
  bool boolean(bool) override { return unexpected(); }
  bool number_integer(number_integer_t) override { return unexpected(); }
  bool number_float(number_float_t, const string_t&) override { return unexpected(); }
  bool binary(binary_t&) override { return unexpected(); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kShape) {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) fail("a size is too large");
      if (entry_.shape.size() == kMaxRank)
        fail("it has more than " + std::to_string(kMaxRank) + " dimensions");
      entry_.shape.push_back(static_cast<int64_t>(value));
    } else if (place_ == Place::kOffsets && offsets_ < 2) {
      (offsets_++ == 0 ? entry_.begin : entry_.end) = value;
    } else {
      unexpected();
    }
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) return true;
    if (place_ != Place::kEntry || field_ != "dtype") unexpected();
    const auto dtype = dtype_from_name(value);
    if (!dtype)
      fail("its type " + quote_name(value) + " isn't known to latentcast (convert it to F32, F16 or BF16)");
    entry_.dtype = *dtype;
    has_dtype_ = true;
    return true;
  }

  bool key(string_t& value) override {
    if (place_ == Place::kRoot) {
      entry_ = SafetensorsEntry{};
      entry_.name = std::move(value);
      has_dtype_ = has_shape_ = has_offsets_ = false;
    } else if (place_ == Place::kEntry) {
      field_ = std::move(value);
      const bool again = (field_ == "dtype" && has_dtype_) || (field_ == "shape" && has_shape_) ||
                         (field_ == "data_offsets" && has_offsets_);
      if (again) fail("its field '" + field_ + "' is there twice");
    }
    return true;
  }

  bool start_object(size_t) override {
    if (place_ == Place::kOutside) {
      place_ = Place::kRoot;
    } else if (place_ == Place::kRoot) {
      place_ = entry_.name == "__metadata__" ? Place::kMetadata : Place::kEntry;
    } else {
      unexpected();
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kEntry) {
      if (!has_dtype_ || !has_shape_ || !has_offsets_) fail("dtype, shape or data_offsets is missing");
      entries_.push_back(std::move(entry_));
    }
    place_ = place_ == Place::kRoot ? Place::kOutside : Place::kRoot;
    return true;
  }

  bool start_array(size_t) override {
    if (place_ == Place::kEntry && field_ == "shape") {
      place_ = Place::kShape;
      has_shape_ = true;
    } else if (place_ == Place::kEntry && field_ == "data_offsets") {
      place_ = Place::kOffsets;
      has_offsets_ = true;
      offsets_ = 0;
    } else {
      unexpected();
    }
    return true;
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && offsets_ != 2) fail("data_offsets needs two numbers");
    place_ = Place::kEntry;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    throw InputError("the header of '" + file_ + "' isn't valid JSON (at byte " + std::to_string(position) +
                     " of it). The file is damaged: download it again.");
  }

 private:
  enum class Place { kOutside, kRoot, kMetadata, kEntry, kShape, kOffsets };

  [[noreturn]] void fail(const std::string& what) const {
    throw InputError("the header of '" + file_ + "' can't be used: tensor " + quote_name(entry_.name) + ": " +
                     what + ".");
  }
  [[noreturn]] bool unexpected() const {
    throw InputError("the header of '" + file_ +
                     "' isn't one of a safetensors file (something that doesn't belong " +
                     "there at or after " + quote_name(entry_.name) + "). Download the file again.");
  }

  const std::string& file_;
  std::vector<SafetensorsEntry> entries_;
  SafetensorsEntry entry_;
  std::string field_;
  Place place_ = Place::kOutside;
  int offsets_ = 0;
  bool has_dtype_ = false;
  bool has_shape_ = false;
  bool has_offsets_ = false;
};

}  // namespace

std::vector<SafetensorsEntry> read_safetensors_header(std::string_view json, const std::string& file) {
  HeaderReader reader(file);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  return reader.take_entries();
}

}  // namespace latentcast
