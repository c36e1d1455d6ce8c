// Pictures, sounds, pose videos and masks that can't be used.

#include "bad_input.h"
#include "files.h"

namespace latentcast::test {
namespace {

namespace fs = std::filesystem;
using Damage = std::function<void(TinyJob&)>;

/// The file of an option with other contents.
Damage contents(const char* option, const std::string& bytes) {
  return [=](TinyJob& job) {
    if (!job.options.contains(option)) {
      job.options[option] = job.path(option);
    }
    write_bytes(job.options.at(option), bytes);
  };
}

Damage names_nothing(const char* option) {
  return [=](TinyJob& job) { job.options[option] = job.path("none.file"); };
}

Damage sound_of(size_t samples) {
  return [=](TinyJob& job) { write_wav(job.path("speech.wav"), std::vector<int16_t>(samples, 1000)); };
}

/// A binary PPM picture: FFmpeg knows it by its contents, whatever its name.
std::string plain_picture(int width, int height, char value) {
  return "P6\n" + std::to_string(width) + " " + std::to_string(height) + "\n255\n" +
         std::string(static_cast<size_t>(width) * height * 3, value);
}

/// The job with two speakers, and a mask for each of `masks` (brightness).
void two_speakers(TinyJob& job, const std::vector<char>& masks) {
  job.options["audio"] = job.path("speech.wav").string() + "+" + job.path("speech.wav").string();
  std::string list;
  for (size_t i = 0; i < masks.size(); ++i) {
    const fs::path mask = job.path("mask" + std::to_string(i) + ".ppm");
    write_bytes(mask, plain_picture(64, 64, masks[i]));
    if (i > 0) list += '+';
    list += mask.string();
  }
  if (!list.empty()) {
    job.options["masks"] = list;
  }
}

const std::string kText = "This is a letter, not what was asked for.\n";

std::vector<BadInput> bad_pictures() {
  return {
      {"PictureMissing", names_nothing("image"), {"--image", "none.file", "there is no file"}},
      {"PictureIsAFolder",
       [](TinyJob& job) { job.options["image"] = job.path("checkpoint"); },
       {"--image", "checkpoint", "is a folder"}},
      {"PictureIsEmpty", contents("image", ""), {"portrait.png", "it is empty", "give another file"}},
      {"PictureIsText", contents("image", kText), {"portrait.png", "no picture; give another"}},
      {"PictureIsSound",
       [](TinyJob& job) { job.options["image"] = job.path("speech.wav"); },
       {"speech.wav", "there is no picture in it", "give another file"}},
      {"PictureCutShort",
       [](TinyJob& job) { fs::resize_file(job.path("portrait.png"), 2500); },
       {"portrait.png", "cut short", "get the whole file"}},
      {"PictureOfOnePixel",
       contents("image", plain_picture(1, 1, 'x')),
       {"portrait.png", "1x1", "Use a larger one"}},
      {"PictureTooNarrow",
       contents("image", plain_picture(1600, 16, 'x')),
       {"portrait.png", "1600x16", "too narrow", "Crop it"}},
  };
}

std::vector<BadInput> bad_sounds() {
  return {
      {"SoundMissing", names_nothing("audio"), {"--audio", "none.file", "there is no file"}},
      {"SoundIsText", contents("audio", kText), {"speech.wav", "give a sound"}},
      {"SoundOfNoSamples", sound_of(0), {"speech.wav", "give a sound that lasts"}},
      {"SoundOf10Samples", sound_of(10), {"speech.wav", "10 samples", "give at least a tenth of a second"}},
      {"SoundOf500Samples", sound_of(500), {"speech.wav", "too short", "give at least a tenth of a second"}},
      {"SoundIsASilentVideo",
       [](TinyJob& job) { job.options["audio"] = data_folder() / "cases" / "portrait" / "pose.mkv"; },
       {"pose.mkv", "there is no sound in it", "give another file"}},
      {"SoundIsAPicture",
       [](TinyJob& job) { job.options["audio"] = job.path("portrait.png"); },
       {"portrait.png", "there is no sound in it", "give another file"}},
  };
}

std::vector<BadInput> bad_poses_and_masks() {
  return {
      {"PoseVideoMissing", names_nothing("pose_video"), {"--pose_video", "none.file", "there is no file"}},
      {"PoseVideoIsText", contents("pose_video", kText), {"pose_video'", "give a pose video"}},
      {"PoseVideoIsSound",
       [](TinyJob& job) { job.options["pose_video"] = job.path("speech.wav"); },
       {"speech.wav", "there is no picture in it", "give another file"}},
      {"MasksNotGiven",
       [](TinyJob& job) { two_speakers(job, {}); },
       {"--masks", "2 speakers", "need 2 masks, got 0", "Join them with +"}},
      {"MasksTooFew",
       [](TinyJob& job) { two_speakers(job, {'x'}); },
       {"--masks", "need 2 masks, got 1", "Join them with +"}},
      {"MasksForOneSpeaker",
       [](TinyJob& job) {
         two_speakers(job, {'x', 'y'});
         job.options["audio"] = job.path("speech.wav");
       },
       {"--masks", "several speakers", "Leave them out"}},
      {"MaskMissing",
       [](TinyJob& job) {
         two_speakers(job, {'x', 'y'});
         fs::remove(job.path("mask1.ppm"));
       },
       {"--masks", "mask1.ppm", "there is no file"}},
      {"MaskIsText",
       [](TinyJob& job) {
         two_speakers(job, {'x', 'y'});
         write_bytes(job.path("mask1.ppm"), kText);
       },
       {"mask1.ppm", "no picture; give another"}},
      {"MaskIsBlack",
       [](TinyJob& job) {
         two_speakers(job, {'x', '\0'});
       },
       {"--masks", "mask1.ppm", "black all over", "speaker 2 is nowhere", "paint the place"}},
      {"MaskTakesThePlaceOfAll",
       [](TinyJob& job) {
         two_speakers(job, {'x', 'y'});
       },
       {"--masks", "mask0.ppm", "no place to the voice of speaker 1", "paint only where each speaker is"}},
      {"SecondSoundMissing",
       [](TinyJob& job) {
         two_speakers(job, {'x', 'y'});
         job.options["audio"] = job.path("speech.wav").string() + "+" + job.path("none.wav").string();
       },
       {"--audio", "none.wav", "there is no file"}},
  };
}

}  // namespace

std::vector<BadInput> bad_media() {
  std::vector<BadInput> all = bad_pictures();
  for (const auto& more : {bad_sounds(), bad_poses_and_masks()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

}  // namespace latentcast::test
