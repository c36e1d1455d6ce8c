#include "latentcast/progress/tensor_listing.h"

#include "tensor_file.h"
#include <ATen/ATen.h>

#include "latentcast/error.h"

namespace latentcast {
namespace {

ListedTensor list_one(const TensorFileReader& reader, const std::string& name, bool verify) {
  ListedTensor listed;
  listed.name = name;
  try {
    const TensorFileReader::Description stored = reader.describe(name);
    listed.type = stored.type_name;
    listed.shape = stored.shape;
    listed.bytes = static_cast<int64_t>(c10::elementSize(stored.type));
    for (const int64_t size : stored.shape) listed.bytes *= size;
    if (verify) reader.read(name);
  } catch (const InputError& error) {
    listed.damage = error.what();
  }
  return listed;
}

}  // namespace

TensorListing list_tensors(const std::filesystem::path& file, bool verify) {
  const TensorFileReader reader(file);
  TensorListing listing;
  for (const std::string& name : reader.names()) {
    listing.tensors.push_back(list_one(reader, name, verify));
  }
  listing.attributes = reader.attributes();
  return listing;
}

}  // namespace latentcast
