#include "hdf5_handle.h"

#include <cstdlib>
#include <string_view>

#include "descriptor.h"

#include "latentcast/error.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

std::mutex& hdf5_mutex() {
  static std::mutex mutex;  // for the library's one state; see Hdf5Lock
  return mutex;
}

/// What HDF5's error stack says: the system's error number if there is one, and the innermost message.
struct Cause {
  int error = 0;
  std::string text;
};

herr_t look_at(unsigned, const H5E_error2_t* entry, void* data) {
  auto& cause = *static_cast<Cause*>(data);
  const std::string_view text = entry->desc ? entry->desc : "";
  constexpr std::string_view kMark = "errno = ";
  if (const size_t at = text.find(kMark); at != std::string_view::npos && cause.error == 0) {
    cause.error = std::atoi(text.data() + at + kMark.size());
  }
  if (cause.text.empty()) cause.text = text;
  return 0;
}

Cause cause_of_error() {
  Cause cause;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, &look_at, &cause);
  return cause;
}

Hdf5Handle text_type(size_t size) {
  Hdf5Handle type(H5Tcopy(H5T_C_S1), &H5Tclose);
  H5Tset_size(type, size);
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  return type;
}

void write_attribute(hid_t object, const char* name, hid_t type, const void* value, const fs::path& file) {
  const Hdf5Handle space(H5Screate(H5S_SCALAR), &H5Sclose);
  const Hdf5Handle attribute(H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT), &H5Aclose);
  if (!attribute.valid() || H5Awrite(attribute, type, value) < 0) {
    throw_hdf5_output_error(file);
  }
}

Hdf5Handle open_attribute(hid_t object, const char* name, const fs::path& file) {
  Hdf5Handle attribute(H5Aopen(object, name, H5P_DEFAULT), &H5Aclose);
  if (!attribute.valid()) {
    throw_hdf5_damage(file, std::string("it lacks the attribute ") + name);
  }
  return attribute;
}

}  // namespace

Hdf5Lock::Hdf5Lock() : guard_(hdf5_mutex()) {
  // Its habit of printing would otherwise mix with our messages.
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

void throw_hdf5_output_error(const fs::path& file) {
  const Cause cause = cause_of_error();
  if (cause.error != 0) {
    throw_output_error(file, cause.error);
  }
  throw OutputError(file.string() + ": can't be written: HDF5 says: " + cause.text +
                    "; free some space and run again, or choose another place");
}

void throw_hdf5_damage(const fs::path& file, const std::string& what) {
  const std::string said = cause_of_error().text;
  throw InputError(file.string() + " is damaged: " + what + (said.empty() ? "" : " (" + said + ")"));
}

Hdf5Handle hdf5_file_access() {
  Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), &H5Pclose);
  H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  H5Pset_file_locking(access, /*use=*/false, /*ignore_when_disabled=*/true);
  return access;
}

void write_text_attribute(hid_t object, const char* name, const std::string& value, const fs::path& file) {
  // HDF5 knows no empty text: one zero byte stands for it.
  std::string padded = value;
  if (padded.empty()) padded.push_back('\0');
  const Hdf5Handle type = text_type(padded.size());
  write_attribute(object, name, type, padded.data(), file);
}

std::string read_text_attribute(hid_t object, const char* name, const fs::path& file) {
  constexpr size_t kLongest = 1 << 16;
  const Hdf5Handle attribute = open_attribute(object, name, file);
  const Hdf5Handle type(H5Aget_type(attribute), &H5Tclose);
  const size_t size = type.valid() && H5Tget_class(type) == H5T_STRING ? H5Tget_size(type) : 0;
  if (size == 0 || size > kLongest) {
    throw_hdf5_damage(file, std::string("its attribute ") + name + " is no text");
  }
  std::string value(size, '\0');
  if (H5Aread(attribute, text_type(size), value.data()) < 0) {
    throw_hdf5_damage(file, std::string("its attribute ") + name + " can't be read");
  }
  value.resize(std::string_view(value).find_last_not_of('\0') + 1);
  return value;
}

void write_number_attribute(hid_t object, const char* name, int64_t value, const fs::path& file) {
  write_attribute(object, name, H5T_NATIVE_INT64, &value, file);
}

int64_t read_number_attribute(hid_t object, const char* name, const fs::path& file) {
  const Hdf5Handle attribute = open_attribute(object, name, file);
  int64_t value = 0;
  if (H5Aread(attribute, H5T_NATIVE_INT64, &value) < 0) {
    throw_hdf5_damage(file, std::string("its attribute ") + name + " is no number");
  }
  return value;
}

}  // namespace latentcast
