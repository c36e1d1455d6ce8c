#pragma once

#include <filesystem>
#include <string>

namespace latentcast {

/// Writes a small text file beside its final name (`file`.part), makes it durable and renames it: after a
/// crash there is the old text or the new one. Throws OutputError with the system's reason.
void write_text_file(const std::filesystem::path& file, const std::string& text);

/// The whole of a small file. Throws InputError naming it if it can't be read.
std::string read_text_file(const std::filesystem::path& file);

/// Makes what was written to a file, or the names in a folder, survive a crash. Throws OutputError.
void sync_file(const std::filesystem::path& file);
void sync_folder(const std::filesystem::path& folder);

/// Makes a folder with those above it. Throws OutputError.
void make_folders(const std::filesystem::path& folder);

/// Gives a finished file or folder its name, replacing a file there, and makes that durable. Throws
/// OutputError.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace latentcast
