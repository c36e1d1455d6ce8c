#pragma once

#include <cstdint>

/// What can't be counted from shapes: measured on H100s with LibTorch 2.11 and CUDA 13.0, by `latentcast
/// bench pipeline` (its "memory"); docs/benchmarks.md lists the runs.
namespace latentcast::measured {

constexpr int64_t kMiB = int64_t{1} << 20;

/// CUDA's context and modules, cuBLAS and cuDNN; NCCL's buffers on top.
constexpr int64_t kContext = 700 * kMiB;
constexpr int64_t kLinks = 500 * kMiB;

/// LibTorch's allocator: what it keeps beyond the tensors, and a part of them (1 / …).
constexpr int64_t kSlack = 200 * kMiB;
constexpr int64_t kSlackPart = 100;

/// A step: rows of tokens that are there at once besides the feed-forward's, and what doesn't depend on the
/// size (the products' and convolutions' workspaces, the sound's tokens). By layers: rows that come, go and
/// wait.
constexpr int64_t kRowsOfAStep = 6;
constexpr int64_t kStep = 450 * kMiB;
constexpr int64_t kRowsUnderWay = 6;

/// Not measured yet: rows of one more speaker's sound; the picture encoder's weights, past and work, as
/// decoding is counted below.
constexpr int64_t kRowsOfASpeaker = 4;
constexpr int64_t kPoses = 2000;

constexpr int64_t kLoading = 100 * kMiB;

/// Decoding, in values of one channel at a latent's pixel, times the decoder's width: for each latent, what
/// its frames before the last doubling and the pictures take; the pieces of full size; and, where many
/// latents come at once, the level before it.
constexpr int64_t kDecodingPerLatent = 72;
constexpr int64_t kDecodingPieces = 530;
constexpr int64_t kDecodingWhole = 136;

}  // namespace latentcast::measured
