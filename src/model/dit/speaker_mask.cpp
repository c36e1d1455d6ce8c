#include "latentcast/model/dit/speaker_mask.h"

#include <algorithm>

#include <ATen/ATen.h>

namespace latentcast {
namespace {

constexpr double kGrowth = 0.1;

at::Tensor stretched(const at::Tensor& mask, int64_t latents, int64_t rows, int64_t columns) {
  const at::Tensor wide = mask.to(at::kFloat).view({1, 1, 1, mask.size(0), mask.size(1)});
  return at::upsample_trilinear3d(wide, {latents, rows, columns}, /*align_corners=*/false)[0][0] > 0.5;
}

/// mask [rows, columns] of booleans, grown by a square.
at::Tensor grown(const at::Tensor& mask) {
  const at::Tensor places = mask.nonzero();
  if (places.size(0) == 0) {
    return mask;
  }
  const at::Tensor box = places.amax(0) - places.amin(0) + 1;
  const auto side = std::max(box[0].item<int64_t>(), box[1].item<int64_t>());
  const auto radius =
      std::max<int64_t>(1, static_cast<int64_t>(kGrowth * static_cast<double>(side) + 0.9999));
  const at::Tensor wide = mask.to(at::kFloat).unsqueeze(0).unsqueeze(0);
  return at::max_pool2d(wide, 2 * radius + 1, /*stride=*/1, /*padding=*/radius)[0][0] > 0;
}

}  // namespace

at::Tensor speaker_regions(const std::vector<at::Tensor>& masks, int64_t latents, int64_t rows,
                           int64_t columns) {
  at::Tensor owner = at::full({latents, rows, columns}, -1, at::kLong);
  for (size_t speaker = 0; speaker < masks.size(); ++speaker) {
    owner =
        at::where(stretched(masks[speaker], latents, rows, columns), static_cast<int64_t>(speaker), owner);
  }
  std::vector<at::Tensor> own;
  for (size_t speaker = 0; speaker < masks.size(); ++speaker) {
    std::vector<at::Tensor> frames;
    for (int64_t latent = 0; latent < latents; ++latent) {
      frames.push_back(grown(owner[latent] == static_cast<int64_t>(speaker)));
    }
    own.push_back(at::stack(frames));
  }
  const at::Tensor all = at::stack(own);
  const at::Tensor others = all.sum(0, /*keepdim=*/true) - all.to(at::kLong);
  return (others == 0).to(at::kFloat);
}

}  // namespace latentcast
