#include "kept_conditions.h"

#include <vector>

#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/progress/condition_store.h"

namespace latentcast {
namespace {

Conditions load(const ConditionStore& store) {
  const StoredConditions& kept = store.conditions();
  Conditions conditions;
  conditions.text = kept.text;
  conditions.reference_latents = kept.reference_latents;
  conditions.motion_latents = kept.motion_latents;
  conditions.speaker_mask = kept.speaker_mask;
  conditions.clips = kept.clips;
  std::vector<at::Tensor> clips;
  for (int64_t clip = 0; clip < kept.clips; ++clip) {
    clips.push_back(store.audio(clip));
  }
  conditions.audio = at::cat(clips, 1);
  return conditions;
}

}  // namespace

std::optional<Conditions> load_conditions(const RunPaths& paths, const std::string& identity,
                                          const NoteSink& note) {
  try {
    if (const std::optional<ConditionStore> store = ConditionStore::open(paths.conditions(), identity)) {
      return load(*store);
    }
  } catch (const InputError& error) {
    note(std::string(error.what()) + "; everything is encoded again");
  }
  return std::nullopt;
}

void keep_conditions(const RunPaths& paths, const std::string& identity, const Conditions& conditions,
                     int64_t frames_a_clip) {
  ConditionWriter writer(paths.conditions(), identity,
                         {conditions.text, conditions.reference_latents, conditions.motion_latents,
                          conditions.speaker_mask, conditions.clips});
  for (int64_t clip = 0; clip < conditions.clips; ++clip) {
    writer.add_audio(conditions.audio.narrow(1, clip * frames_a_clip, frames_a_clip).contiguous());
  }
  writer.close();
}

}  // namespace latentcast
