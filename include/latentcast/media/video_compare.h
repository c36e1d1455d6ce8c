#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace latentcast {

/// How alike frames of two videos are, as FFmpeg's filters `psnr` and `ssim` define it over all planes, each
/// plane with the weight of its samples (their "average" and "All").
class Likeness {
 public:
  /// One frame: `error` is the mean squared difference of its samples, a part of the largest sample's square.
  void add_frame(double error, double ssim);
  void add(const Likeness& other);

  int64_t frames() const { return frames_; }
  /// Not a sample differs.
  bool identical() const { return errors_ == 0; }
  /// In dB, from the mean over all frames' samples; infinite if identical().
  double psnr() const;
  /// The frames' mean.
  double ssim() const;

 private:
  int64_t frames_ = 0;
  double errors_ = 0, ssims_ = 0;  ///< sums
};

/// Compares the videos frame by frame, whatever their frame rates; `b` is brought to a's pixel format if it
/// has another. Returns one Likeness for every `segment_frames` frames (the last may be shorter); <= 0: one
/// for the whole video. Memory holds a few frames. Throws InputError naming both files if their sizes or
/// numbers of frames differ, or naming the one that can't be read.
std::vector<Likeness> compare_videos(const std::filesystem::path& a, const std::filesystem::path& b,
                                     int64_t segment_frames);

}  // namespace latentcast
