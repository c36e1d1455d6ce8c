#include "stored_type.h"

#include <algorithm>
#include <vector>

#include "latentcast/error.h"

namespace latentcast {
namespace {

// HDF5's identifiers are known only once the library has started, so the table is made when it is asked for.
std::vector<StoredType> stored_types() {
  using at::ScalarType;
  return {{ScalarType::Float, "float32", H5T_IEEE_F32LE},
          {ScalarType::Double, "float64", H5T_IEEE_F64LE},
          {ScalarType::BFloat16, "bfloat16", H5T_STD_U16LE},
          {ScalarType::Half, "float16", H5T_STD_U16LE},
          {ScalarType::Float8_e4m3fn, "float8_e4m3fn", H5T_STD_U8LE},
          {ScalarType::Float8_e5m2, "float8_e5m2", H5T_STD_U8LE},
          {ScalarType::Byte, "uint8", H5T_STD_U8LE},
          {ScalarType::Bool, "bool", H5T_STD_U8LE},
          {ScalarType::Char, "int8", H5T_STD_I8LE},
          {ScalarType::Short, "int16", H5T_STD_I16LE},
          {ScalarType::Int, "int32", H5T_STD_I32LE},
          {ScalarType::Long, "int64", H5T_STD_I64LE}};
}

}  // namespace

StoredType stored_type(at::ScalarType scalar) {
  for (const StoredType& type : stored_types()) {
    if (type.scalar == scalar) return type;
  }
  throw InternalError(std::string("tensors of type ") + c10::toString(scalar) + " can't be stored");
}

StoredType stored_type(const std::string& name) {
  for (const StoredType& type : stored_types()) {
    if (name == type.name) return type;
  }
  return {at::ScalarType::Undefined, nullptr, H5I_INVALID_HID};
}

}  // namespace latentcast
