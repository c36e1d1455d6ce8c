#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "latentcast/config/render_job.h"
#include "latentcast/device/device.h"
#include "latentcast/model/vae/decoder.h"
#include "latentcast/pipeline/trace.h"

namespace latentcast {

/// Takes frames [3, n, H, W] float32 in −1..1 on the decoder's device, n ≥ 0, in order.
using FrameSink = std::function<void(const at::Tensor& frames)>;

/// Turns a clip's blocks into frames: online block by block, batch in one call a clip. The state is the same.
class DecodeStage {
 public:
  /// `motion` [16, 19, h, w]: its first 7 latents fill the decoder's past, when the first block comes: so all
  /// of the decoder's state is made by the thread and stream that decodes.
  DecodeStage(std::shared_ptr<const VaeDecoder> decoder, DecodeMode mode, const at::Tensor& motion,
              Trace& trace);

  /// Latents [16, 3, h, w] of the next block; `last_of_clip` closes the clip. Every frame is handed on.
  void take(const at::Tensor& latents, bool last_of_clip, const FrameSink& sink);

  /// Between blocks the decoder's past lies in host memory (pinned, for a GPU); it is there on the device
  /// only while a block is decoded, so that others can use its room. To be called by the thread that decodes
  /// in line with them, on their stream: moving it takes that stream's time.
  void keep_state_on_host(const ComputeDevice& device);

  /// What the blocks so far left behind; between clips there is nothing else. Waits until it is there.
  const CausalState& state() const;
  /// Goes on from a state that was saved between clips; its tensors lie on the decoder's device.
  void restore(CausalState state);

 private:
  void warm_up();
  at::Tensor decode(const at::Tensor& latents);
  void bring_state();
  void put_state_away();

  std::shared_ptr<const VaeDecoder> decoder_;
  DecodeMode mode_;
  CausalState state_;
  std::optional<ComputeDevice> kept_for_;  // the state is kept on the host
  std::vector<at::Tensor> host_;           // for each cache, once it was there
  at::Tensor past_;                        // undefined once it is in the state
  std::vector<at::Tensor> waiting_;        // batch: blocks of the clip so far
};

}  // namespace latentcast
