#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/model/tensor_source.h"

namespace latentcast {

/// The umT5 encoder on one prompt: token ids (with the closing </s>) -> [tokens, width] in the source's
/// dtype. Width, heads, layers and vocabulary follow from the tensors' shapes. Layers are taken, used and
/// dropped one after the other, so that an 11 GB file never lies in memory as a whole. Each layer has
/// position buckets of its own and attention is not scaled by 1/√d (Raffel et al. 2020; umT5: Chung et al.
/// 2023). Throws InputError if an id lies outside the vocabulary.
at::Tensor encode_text(TensorSource& source, const std::vector<int32_t>& token_ids);

/// Takes every tensor that encode_text() takes and computes nothing: on a source without contents, a check.
void check_text_weights(TensorSource& source);

}  // namespace latentcast
