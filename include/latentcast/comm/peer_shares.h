#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

namespace latentcast {

class Communicator;
class Transfer;

/// How ranks get at one another's shares: as is best where they are, or by all-gathers in any case.
enum class GatherWay { kAuto, kCollective };

/// Which of its own elements a rank wants in a gather: so many at the beginning of its part, and at its end.
/// The rest it uses where it is.
struct OwnPart {
  int64_t head = 0, tail = 0;
};

/// A tensor of each rank of a group, its share, that the others read; see Communicator::publish(). Must go
/// before the communicator does. On GPUs whose shares are read directly, going is collective: a share's
/// memory is given back only when every rank has closed what it had opened, or hasn't done so for ten seconds
/// (then it has failed). While an exception is on its way nobody is waited for.
class PeerShares {
 public:
  virtual ~PeerShares() = default;

  /// Afterwards `all` [size · count] has the elements begin … begin + count − 1 of the ranks' shares, in the
  /// ranks' order; of this rank's own at least those of `own`, while the others may be missing. On a GPU this
  /// takes place in the order of the current stream, as other transfers do.
  virtual std::unique_ptr<Transfer> launch_gather(int64_t begin, int64_t count, const at::Tensor& all,
                                                  OwnPart own) = 0;
  std::unique_ptr<Transfer> launch_gather(int64_t begin, int64_t count, const at::Tensor& all);

  /// Whether a gather needs all ranks: then they must launch the same ones in the same order, and get all of
  /// their own elements too.
  virtual bool is_collective() const = 0;
  /// "copy engines", "nccl", "mpi", …: what moves the shares.
  virtual std::string way() const = 0;
  /// Why shares aren't read directly; empty if they are, or if nobody could expect it.
  virtual std::string refusal() const { return {}; }
  /// Bytes that gathers have brought to this rank from others; counted at launch.
  virtual int64_t bytes_gathered() const = 0;
};

/// Shares that are gathered by the group's all-gathers. Not collective.
std::unique_ptr<PeerShares> share_by_all_gathers(Communicator& group, const at::Tensor& share,
                                                 std::string way, std::string refusal = {});

}  // namespace latentcast
