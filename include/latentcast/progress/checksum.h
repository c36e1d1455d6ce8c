#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace latentcast {

/// Called while a large file is read, so that whoever watches sees that something moves.
using StepSink = std::function<void()>;

/// SHA-256 as 64 hexadecimal digits: of what people may want to check themselves (segments, inputs, weights).
std::string sha256(std::string_view bytes);
/// Throws InputError naming the file if it can't be read.
std::string sha256_of_file(const std::filesystem::path& file, const StepSink& on_step = {});

/// XXH3, 128 bits, as 32 hexadecimal digits: against damage, not against forgery, ten times as fast. Used
/// for checkpoints.
std::string xxh3(std::span<const std::byte> bytes);
std::string xxh3_of_file(const std::filesystem::path& file, const StepSink& on_step = {});

/// As those, of a file that this run has just written: that it can't be read is an OutputError, such as of a
/// folder that has vanished.
std::string sha256_of_output(const std::filesystem::path& file);
std::string xxh3_of_output(const std::filesystem::path& file);

}  // namespace latentcast
