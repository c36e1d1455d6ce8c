#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "latentcast/config/options.h"
#include "latentcast/config/render_job.h"

namespace latentcast {

/// The LoRA's name on the hub, which public command lines give instead of a file.
inline constexpr std::string_view kPublicLora = "Quark-Vision/Live-Avatar";
inline constexpr std::string_view kLoraFile = "liveavatar.safetensors";

/// Where an option's value is kept; tells its type and, by RenderJob{}, its default.
using Field =
    std::variant<bool RenderJob::*, int RenderJob::*, double RenderJob::*, std::string RenderJob::*,
                 std::filesystem::path RenderJob::*, std::vector<std::filesystem::path> RenderJob::*,
                 std::optional<int> RenderJob::*, std::optional<double> RenderJob::*,
                 std::optional<uint64_t> RenderJob::*, std::optional<std::string> RenderJob::*,
                 DecodeMode RenderJob::*, FirstFrames RenderJob::*>;

enum class Group { kInputs, kRendering, kWeights, kVideo, kComputing, kRanks, kProgress, kTracing };
enum class Origin { kPublic, kOurs };

/// An option of ours, or one of the public script's that we have too.
struct Option {
  std::string_view name;  ///< also the YAML key
  Field field;
  std::string_view placeholder;  ///< empty for a flag; with '|': the values there are, an enum's in its order
  std::string_view help;
  Group group;
  Origin origin;
  Identity identity;
  std::string_view default_note = {};  ///< what is chosen if nothing is given, where RenderJob{} can't say
  std::string_view notice = {};  ///< what to say if it is given, where this version does nothing with it
};

/// An option of the public script that has no field here.
struct PublicOption {
  std::string_view name;
  std::string_view placeholder;  ///< empty for a flag
  std::string_view instead;      ///< what replaces it
  /// Whether the value asks for nothing that we lack; a null pointer if every value does.
  bool (*harmless)(std::string_view value) = nullptr;
  bool obeyed = false;  ///< another name for an option of ours: nothing to say about it
};

std::span<const Option> option_table();
std::span<const PublicOption> public_option_table();

std::string_view group_title(Group group);
const Option* find_option(std::string_view name);
const PublicOption* find_public_option(std::string_view name);

/// "; did you mean --num_clip?" with the known name nearest to `name`; empty if none is near. `prefix` is put
/// before it.
std::string suggestion(std::string_view name, std::string_view prefix);

}  // namespace latentcast
