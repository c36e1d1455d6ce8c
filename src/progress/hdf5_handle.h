#pragma once

#include <filesystem>
#include <mutex>
#include <string>
#include <utility>

#include <hdf5.h>

namespace latentcast {

/// Debian's HDF5 may be in one thread at a time, so every function that calls it holds this first (the
/// library itself has state for the whole process, so there is one lock for all). Never held while a tensor
/// is read or written: those bytes don't pass through HDF5.
class Hdf5Lock {
 public:
  Hdf5Lock();

 private:
  std::lock_guard<std::mutex> guard_;
};

/// An HDF5 identifier, closed with the object. Make and destroy it under an Hdf5Lock.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);

  Hdf5Handle() = default;
  Hdf5Handle(hid_t id, Close close) : id_(id), close_(close) {}
  ~Hdf5Handle() { reset(); }
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }

  operator hid_t() const { return id_; }
  bool valid() const { return id_ >= 0; }
  /// Whether closing went well, which for a written file means that HDF5 has handed all of it to the system.
  bool close() { return id_ < 0 || close_(std::exchange(id_, H5I_INVALID_HID)) >= 0; }
  void reset() { (void)close(); }

 private:
  hid_t id_ = H5I_INVALID_HID;
  Close close_ = nullptr;
};

/// Throws OutputError about `file` with the system's error from HDF5's error stack, else with HDF5's words.
[[noreturn]] void throw_hdf5_output_error(const std::filesystem::path& file);
/// Throws InputError: the file is damaged, in HDF5's words.
[[noreturn]] void throw_hdf5_damage(const std::filesystem::path& file, const std::string& what);

/// For files of this program: checksums on HDF5's own structures, no locks of its own (the run has one, and
/// many cluster file systems know none).
Hdf5Handle hdf5_file_access();

/// A scalar attribute. `read`: throws InputError naming `file` if it isn't there.
void write_text_attribute(hid_t object, const char* name, const std::string& value,
                          const std::filesystem::path& file);
std::string read_text_attribute(hid_t object, const char* name, const std::filesystem::path& file);
void write_number_attribute(hid_t object, const char* name, int64_t value, const std::filesystem::path& file);
int64_t read_number_attribute(hid_t object, const char* name, const std::filesystem::path& file);

}  // namespace latentcast
