#include "latentcast/progress/condition_store.h"

#include <cstdio>

#include "tensor_file.h"
#include <ATen/ATen.h>

#include "latentcast/error.h"
#include "latentcast/progress/durable_file.h"
#include "latentcast/progress/pause_point.h"

namespace latentcast {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFormat = 1;

std::string clip_name(const char* group, int64_t clip) {
  char name[40];
  std::snprintf(name, sizeof name, "%s/%06lld", group, static_cast<long long>(clip));
  return name;
}

fs::path part_of(fs::path file) {
  file += ".part";
  return file;
}

}  // namespace

/// Removes an unfinished file, also one that could not even be begun.
class UnfinishedFile {
 public:
  explicit UnfinishedFile(fs::path file) : file_(std::move(file)) {}
  ~UnfinishedFile() {
    std::error_code ignored;
    if (!kept_) fs::remove(file_, ignored);
  }
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;
  void keep() { kept_ = true; }

 private:
  fs::path file_;
  bool kept_ = false;
};

class ConditionWriter::Impl {
 public:
  explicit Impl(const fs::path& file) : path_(file), unfinished_(part_of(file)), file_(part_of(file)) {}

  void begin(const std::string& identity, const StoredConditions& conditions) {
    clips_ = conditions.clips;
    file_.add_number("format", kFormat);
    file_.add_number("clips", conditions.clips);
    file_.add_text("identity", identity);
    add("text", conditions.text);
    add("reference_latents", conditions.reference_latents);
    add("motion_latents", conditions.motion_latents);
    add("speaker_mask", conditions.speaker_mask);
  }

  void add_audio(const at::Tensor& clip) { add(clip_name("audio", audio_++), clip); }
  void add_pose(const at::Tensor& clip) { add(clip_name("pose", pose_++), clip); }

  void close() {
    if (audio_ != clips_) {
      throw InternalError(path_.string() + ": sound features of " + std::to_string(audio_) + " of " +
                          std::to_string(clips_) + " clips were given");
    }
    file_.add_number("pose_clips", pose_);
    file_.close();
    pause_point("conditions-unnamed");
    rename_durably(part_of(path_), path_);
    unfinished_.keep();
  }

 private:
  void add(const std::string& name, const at::Tensor& tensor) {
    if (tensor.defined()) file_.add(name, tensor.contiguous());
  }

  fs::path path_;
  UnfinishedFile unfinished_;
  TensorFileWriter file_;
  int64_t clips_ = 0, audio_ = 0, pose_ = 0;
};

class ConditionStore::Impl {
 public:
  Impl(const fs::path& file, const std::string& identity) : path_(file), file_(file) {
    if (file_.number("format") != kFormat) {
      throw InputError(file.string() + " is of another version of latentcast; remove it and run again");
    }
    identity_ = file_.text("identity");
    if (!identity.empty() && identity_ != identity) {
      throw InputError(file.string() + " belongs to another job; remove it and run again");
    }
    conditions_.clips = file_.number("clips");
    pose_clips_ = file_.number("pose_clips");
    conditions_.text = file_.read("text");
    conditions_.reference_latents = file_.read("reference_latents");
    conditions_.motion_latents = file_.read("motion_latents");
    if (file_.has("speaker_mask")) conditions_.speaker_mask = file_.read("speaker_mask");
  }

  const std::string& identity() const { return identity_; }
  const StoredConditions& conditions() const { return conditions_; }
  int64_t pose_clips() const { return pose_clips_; }
  at::Tensor audio(int64_t clip) const { return read("audio", clip, conditions_.clips); }
  at::Tensor pose(int64_t clip) const { return read("pose", clip, pose_clips_); }

 private:
  at::Tensor read(const char* group, int64_t clip, int64_t count) const {
    if (clip < 0 || clip >= count) {
      throw InternalError(path_.string() + " has no " + clip_name(group, clip));
    }
    return file_.read(clip_name(group, clip));
  }

  fs::path path_;
  TensorFileReader file_;
  std::string identity_;
  StoredConditions conditions_;
  int64_t pose_clips_ = 0;
};

ConditionWriter::ConditionWriter(const fs::path& file, const std::string& identity,
                                 const StoredConditions& conditions)
    : impl_(std::make_unique<Impl>(file)) {
  impl_->begin(identity, conditions);
}

ConditionWriter ConditionWriter::extend(const fs::path& file) {
  const ConditionStore::Impl before(file, "");
  ConditionWriter writer(file, before.identity(), before.conditions());
  for (int64_t clip = 0; clip < before.conditions().clips; ++clip) writer.add_audio(before.audio(clip));
  for (int64_t clip = 0; clip < before.pose_clips(); ++clip) writer.add_pose(before.pose(clip));
  return writer;
}

ConditionWriter::~ConditionWriter() = default;
ConditionWriter::ConditionWriter(ConditionWriter&&) noexcept = default;

void ConditionWriter::add_audio(const at::Tensor& clip) { impl_->add_audio(clip); }
void ConditionWriter::add_pose(const at::Tensor& clip) { impl_->add_pose(clip); }
void ConditionWriter::close() { impl_->close(); }

ConditionStore::ConditionStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ConditionStore::~ConditionStore() = default;
ConditionStore::ConditionStore(ConditionStore&&) noexcept = default;
ConditionStore& ConditionStore::operator=(ConditionStore&&) noexcept = default;

std::optional<ConditionStore> ConditionStore::open(const fs::path& file, const std::string& identity) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return std::nullopt;
  return ConditionStore(std::make_unique<Impl>(file, identity));
}

const StoredConditions& ConditionStore::conditions() const { return impl_->conditions(); }
at::Tensor ConditionStore::audio(int64_t clip) const { return impl_->audio(clip); }
int64_t ConditionStore::pose_clips() const { return impl_->pose_clips(); }
at::Tensor ConditionStore::pose(int64_t clip) const { return impl_->pose(clip); }

}  // namespace latentcast
