#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace latentcast {

/// Entries of a zip archive by name; names and contents point into `file`. Only what torch.save writes is
/// read: stored (uncompressed) entries, with zip64 where they are large. Throws InputError naming the file,
/// and the entry where there is one, on anything else, and on entries that overlap or leave the file.
std::map<std::string_view, std::span<const std::byte>> read_zip_directory(std::span<const std::byte> file,
                                                                          const std::string& name);

}  // namespace latentcast
