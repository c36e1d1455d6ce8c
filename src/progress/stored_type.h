#pragma once

#include <string>

#include <c10/core/ScalarType.h>
#include <hdf5.h>

namespace latentcast {

/// How a tensor's elements are stored. Types that HDF5 lacks (bf16, half, the 8-bit floats, bool) keep their
/// bits as unsigned integers; `name`, in the data set's attribute "dtype", says what they are.
struct StoredType {
  at::ScalarType scalar;
  const char* name;
  hid_t hdf5;
};

/// Throw InternalError for a type that isn't stored; call under an Hdf5Lock.
StoredType stored_type(at::ScalarType scalar);
/// Null name if there is no such type.
StoredType stored_type(const std::string& name);

}  // namespace latentcast
