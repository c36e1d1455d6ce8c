#pragma once

#include <cstdint>

/// What can't be counted from shapes: measured on two H200s with LibTorch 2.11 and CUDA 13.0, 2026-11-23 and
/// 30, by `latentcast bench pipeline` and `bench vae` (docs/benchmarks.md).
namespace latentcast::measured {

constexpr int64_t kMiB = int64_t{1} << 20;

/// CUDA's context and modules, cuBLAS and cuDNN: 887 MB. NCCL's buffers and kernels on top where there are
/// several ranks: 894 MB; those of the group that gathers shards: 545 MB.
constexpr int64_t kContext = 850 * kMiB;
constexpr int64_t kLinks = 860 * kMiB;
constexpr int64_t kGatherLinks = 530 * kMiB;

/// Slots for one peer, in which a tensor waits to be read, and their least size.
constexpr int64_t kSlots = 4;
constexpr int64_t kSlotGrain = 2 * kMiB;

/// LibTorch's allocator: what it keeps beyond the tensors once it has given back what loading took, and a
/// part of the tensors (1 / …): 0.37 GiB of 14.7 on a rank that doesn't decode. Decoding beside the
/// denoising, on a stream of its own, has memory of its own too: 0.91 GiB of 21.8, 0.81 of 13.9.
constexpr int64_t kSlack = 230 * kMiB;
constexpr int64_t kSlackPart = 100;
constexpr int64_t kSlackBeside = 480 * kMiB;

/// A step: rows of tokens that are there at once besides the feed-forward's (421 MB for 3168 tokens, 189 MB
/// for 1152), and what doesn't depend on the size (the products' workspaces, modulation, positions: 250 MB).
/// By layers: rows that come, go and wait.
constexpr int64_t kRowsOfAStep = 8;
constexpr int64_t kStep = 240 * kMiB;
constexpr int64_t kRowsUnderWay = 4;

/// Not measured yet: rows of one more speaker's sound; the picture encoder's weights, past and work, as
/// decoding is counted below.
constexpr int64_t kRowsOfASpeaker = 4;
constexpr int64_t kPoses = 2000;

/// While the stage is made, beside the weights that only its making needs.
constexpr int64_t kLoading = 200 * kMiB;

/// Decoding, in values of one channel at a latent's pixel, times the decoder's width: for each latent, what
/// its frames and pictures take; the pairs of frames on their way; and, where many latents come at once, the
/// level before the last doubling of frames. 416.6 MB for 3 latents and 1291.7 MB for 12 at 704×384, on an
/// H200.
constexpr int64_t kDecodingPerLatent = 18;
constexpr int64_t kDecodingPieces = 462;
constexpr int64_t kDecodingWhole = 133;

}  // namespace latentcast::measured
